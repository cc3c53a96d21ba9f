"""Virtual environments with packages that our own environment must not have, each made once.

They stay in a folder that git ignores, one for each name and version of Python.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import missing

#: Names another folder to keep them in.
CACHE_VARIABLE = "DATASETTE_FILES_PUBLIC_CACHE"
ROOT = Path(__file__).resolve().parents[2]


def environment(name: str, *packages: str) -> Path:
    """The folder of programs of an environment that holds the packages, made at the first call.

    ``packages`` are arguments of ``uv pip install``; others make it anew. Skips the test where they
    cannot be had, and fails it under CI.
    """
    cache = Path(os.environ.get(CACHE_VARIABLE) or ROOT / ".dev" / "public")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / f"{name}-python{version}"
    installed, wanted = folder / "installed", "\n".join(packages)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # two test sessions may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text() != wanted:
            _install(folder, packages)
            installed.write_text(wanted)
    return folder / "bin"


def _uv() -> list[str] | None:
    """How to call uv from here, or None. ``uv run`` says where it is itself."""
    beside = [Path(sys.executable).parent / "uv", ROOT / ".uv" / "bin" / "uv"]
    found = [os.environ.get("UV"), shutil.which("uv"), *(str(p) for p in beside if p.exists())]
    for program in found:
        if program:
            return [program]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


def _install(folder: Path, packages: tuple[str, ...]) -> None:
    uv = _uv()
    if uv is None:
        missing(f"uv, to install {', '.join(packages)} with,")
        return
    python = str(folder / "bin" / "python")
    for arguments in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "--python", python, *packages],
    ):
        done = subprocess.run([*uv, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"{', '.join(packages)} ({done.stderr.strip()[-300:]})")
