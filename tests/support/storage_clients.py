"""Programs that nobody here wrote and that change a storage: rclone, and the AWS CLI.

Both work on a folder on disk or in a bucket, whose paths they are given. Leaves out looking at the
catalog (faults/scene.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import missing
from tests.support.environments import environment
from tests.support.faults.scene import Bucket, Place

#: The folder in which a source on disk keeps what is none of its files.
_OURS = "/.datasette-files/**"


class StorageClient:
    """A program that works on one place. Every method raises CalledProcessError if it fails."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # The environment of whoever runs the tests must not name another account.
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_")
        }

    def begin_upload(self, folder: Path, to: str = "") -> subprocess.Popen[bytes]:
        """Begin to copy the files of a local folder; the caller waits for the end."""
        raise NotImplementedError

    def upload(self, folder: Path, to: str = "") -> None:
        """Copy the files of a local folder; those that are there already are replaced."""
        process = self.begin_upload(folder, to)
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, process.args)

    def move(self, old: str, new: str) -> None:
        """Move one object."""
        raise NotImplementedError

    def move_folder(self, old: str, new: str) -> None:
        """Move all that is below a folder."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """Delete one object."""
        raise NotImplementedError

    def delete_folder(self, path: str) -> None:
        """Delete all that is below a folder."""
        raise NotImplementedError

    def _run(self, *command: str) -> bytes:
        return subprocess.run(
            command, env=self._environment, check=True, stdout=subprocess.PIPE
        ).stdout


class Rclone(StorageClient):
    """Debian's rclone, on disk or in a bucket."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        if shutil.which("rclone") is None:
            missing("rclone")
        options = {"CONFIG": os.devnull, "TRANSFERS": "16", "CHECKERS": "16", "RETRIES": "1"}
        if isinstance(place, Bucket):
            store = place.store
            options |= {
                "CONFIG_STORE_TYPE": "s3",
                "CONFIG_STORE_PROVIDER": "Other",
                "CONFIG_STORE_ACCESS_KEY_ID": store.key,
                "CONFIG_STORE_SECRET_ACCESS_KEY": store.secret,
                "CONFIG_STORE_ENDPOINT": store.endpoint,
                "CONFIG_STORE_REGION": store.region,
                "CONFIG_STORE_FORCE_PATH_STYLE": "true",
                "CONFIG_STORE_NO_CHECK_BUCKET": "true",
                **({"CA_CERT": store.ca} if store.ca else {}),
            }
        self._environment |= {f"RCLONE_{name}": value for name, value in options.items()}

    def _at(self, path: str) -> str:
        if isinstance(self._place, Bucket):
            return f"store:{self._place.store.bucket}/{self._place.prefix}{path}".rstrip("/")
        return str(self._place / path)

    def begin_upload(self, folder: Path, to: str = "") -> subprocess.Popen[bytes]:
        command = ["rclone", "copy", str(folder), self._at(to)]
        return subprocess.Popen(command, env=self._environment)

    def move(self, old: str, new: str) -> None:
        self._run("rclone", "moveto", self._at(old), self._at(new))

    def move_folder(self, old: str, new: str) -> None:
        self._run("rclone", "move", self._at(old), self._at(new))

    def delete(self, path: str) -> None:
        self._run("rclone", "deletefile", self._at(path))

    def delete_folder(self, path: str) -> None:
        self._run("rclone", "delete", self._at(path))

    def download(self, folder: Path) -> None:
        """Copy all files into a local folder."""
        self._run("rclone", "copy", "--exclude", _OURS, self._at(""), str(folder))

    def listed(self) -> dict[str, int]:
        """The size of each object, by path, as ``rclone lsjson`` tells it."""
        found: list[dict[str, Any]] = json.loads(
            self._run(
                *("rclone", "lsjson", "--recursive", "--files-only", "--no-mimetype"),
                *("--no-modtime", "--exclude", _OURS, self._at("")),
            )
        )
        return {one["Path"]: one["Size"] for one in found}


class Aws(StorageClient):
    """The AWS CLI in an environment of its own, in a bucket."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        assert isinstance(place, Bucket)
        store = place.store
        self._aws = str(environment("awscli", "awscli>=1.40,<2") / "aws")
        self._prefix = f"s3://{store.bucket}/{place.prefix}"
        self._environment |= {
            "AWS_ACCESS_KEY_ID": store.key,
            "AWS_SECRET_ACCESS_KEY": store.secret,
            "AWS_DEFAULT_REGION": store.region,
            "AWS_ENDPOINT_URL": store.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            **({"AWS_CA_BUNDLE": store.ca} if store.ca else {}),
        }

    def _s3(self, *arguments: str) -> None:
        self._run(self._aws, "s3", *arguments, "--only-show-errors")

    def begin_upload(self, folder: Path, to: str = "") -> subprocess.Popen[bytes]:
        command = [self._aws, "s3", "cp", "--recursive", "--only-show-errors"]
        target = self._prefix + to
        return subprocess.Popen([*command, str(folder), target], env=self._environment)

    def move(self, old: str, new: str) -> None:
        self._s3("mv", self._prefix + old, self._prefix + new)

    def move_folder(self, old: str, new: str) -> None:
        self._s3("mv", "--recursive", f"{self._prefix}{old}/", f"{self._prefix}{new}/")

    def delete(self, path: str) -> None:
        self._s3("rm", self._prefix + path)

    def delete_folder(self, path: str) -> None:
        self._s3("rm", "--recursive", f"{self._prefix}{path}/")
