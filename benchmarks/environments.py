"""The interpreters that are compared: ours, the public release, copyparty, and ours with httptools.

Each is installed by uv into a virtual environment of its own inside the cache folder, once. There
our environment has no plugin that only our tests need: every plugin costs each request a little.
httptools is installed into a folder of its own that is put on `PYTHONPATH`: the interpreter and all
its other packages stay the same, so that the difference is httptools alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_FILES = "0.1a3"
PUBLIC_DATASETTE = "1.0a41"
PUBLIC_S3 = "0.1a2"
COPYPARTY = "1.20.26"
PY_SPY = "0.4.3"


class SetupError(Exception):
    """Something the comparison needs is missing; the message says what a person can do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python with a datasette-files inside. `extra` are variables of its environment."""

    label: str
    python: Path
    extra: dict[str, str] = field(default_factory=dict)

    def version(self, distribution: str) -> str | None:
        """The installed version of a distribution, None when it is not installed."""
        code = (
            "import importlib.metadata as m, sys\n"
            "try: print(m.version(sys.argv[1]))\n"
            "except m.PackageNotFoundError: print()\n"
        )
        done = subprocess.run(
            [str(self.python), "-c", code, distribution],
            env={**os.environ, **self.extra},
            cwd="/",
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() or None


def uv() -> str:
    """The uv to use: the one that runs us, else one on PATH, else the repo's own.

    Raises SetupError when there is none.
    """
    local = ROOT / ".uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(local) if local.exists() else None)
    if found is None:
        raise SetupError("uv was not found; start with `uv run python -m benchmarks`")
    return found


def _run_uv(*arguments: str) -> None:
    done = subprocess.run([uv(), *arguments], capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise SetupError(f"uv {' '.join(arguments)}: {done.stderr.strip()}")


def ours(cache: Path, python: Path | None) -> Interpreter:
    """This tree in its own virtual environment, built at the first call; or a named interpreter.

    Raises SetupError when that one holds no datasette-files.
    """
    if python is None:
        projects = (ROOT, ROOT / "datasette_files_s3")
        needs = b"".join((project / "pyproject.toml").read_bytes() for project in projects)
        name = f"ours-{hashlib.sha256(needs + str(ROOT).encode()).hexdigest()[:12]}"
        python = _environment(
            cache / name,
            *("--project", str(ROOT)),
            *("--editable", f"{ROOT}[pdf,excel]", "--editable", str(ROOT / "datasette_files_s3")),
        )
    interpreter = Interpreter("ours", python.absolute())
    if interpreter.version("datasette-files") is None:
        raise SetupError(f"{interpreter.python} has no datasette-files installed")
    return interpreter


def public(cache: Path) -> Interpreter:
    """The public release in its own virtual environment, built at the first call."""
    return _public(cache, f"public-{PUBLIC_FILES}-{PUBLIC_DATASETTE}")


def public_s3(cache: Path) -> Interpreter:
    """As ``public``, with the public S3 plugin beside it."""
    name = f"public-{PUBLIC_FILES}-{PUBLIC_DATASETTE}-s3-{PUBLIC_S3}"
    return _public(cache, name, f"datasette-files-s3=={PUBLIC_S3}")


def copyparty(cache: Path) -> Interpreter:
    """copyparty, a file server of others, in its own virtual environment."""
    python = _environment(cache / f"copyparty-{COPYPARTY}", f"copyparty=={COPYPARTY}")
    return Interpreter("copyparty", python)


def py_spy(cache: Path) -> Path:
    """The command of py-spy, which tells what a running Python does."""
    return _environment(cache / f"py-spy-{PY_SPY}", f"py-spy=={PY_SPY}").parent / "py-spy"


def _public(cache: Path, name: str, *more: str) -> Interpreter:
    wanted = (f"datasette-files=={PUBLIC_FILES}", f"datasette=={PUBLIC_DATASETTE}", *more)
    return Interpreter("public", _environment(cache / name, *wanted))


def _environment(home: Path, *wanted: str) -> Path:
    """The Python of a virtual environment in which this is installed, built at the first call."""
    python = home / "bin" / "python"
    complete = home / "complete"
    if not complete.exists():
        _run_uv("venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _run_uv("pip", "install", "--quiet", "--python", str(python), *wanted)
        complete.touch()
    return python


def with_httptools(base: Interpreter, cache: Path) -> Interpreter:
    """The same interpreter with httptools importable, which uvicorn then prefers to h11."""
    home = cache / f"httptools-{base.python.resolve().name}"
    complete = home / "complete"
    if not complete.exists():
        shutil.rmtree(home, ignore_errors=True)
        _run_uv(
            *("pip", "install", "--quiet", "--python", str(base.python)),
            *("--target", str(home), "httptools"),
        )
        complete.touch()
    return Interpreter(f"{base.label} httptools", base.python, {"PYTHONPATH": str(home)})
