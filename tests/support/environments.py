"""Environments of other packages, made by uv beside ours and kept in a folder that git ignores."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[2]


def uv() -> list[str] | None:
    """How to call uv from here, or None. ``uv run`` says where it is itself."""
    beside = [Path(sys.executable).parent / "uv", ROOT / ".uv" / "bin" / "uv"]
    found = [os.environ.get("UV"), shutil.which("uv"), *(str(p) for p in beside if p.exists())]
    for program in found:
        if program:
            return [program]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


def python_of(cache: Path, name: str, *packages: str) -> str:
    """The Python of an environment in ``cache`` that holds the packages, made at the first call.

    ``packages`` are arguments of ``uv pip install``. Skips the test where they cannot be had, and
    fails it under CI.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = cache / f"{name}-python{version}"
    python, installed = environment / "bin" / "python", environment / "installed"
    wanted = "\n".join(packages)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # two test sessions may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text() != wanted:
            _install(environment, python, packages)
            installed.write_text(wanted)
    return str(python)


def _install(environment: Path, python: Path, packages: tuple[str, ...]) -> None:
    program = uv()
    if program is None:
        missing("uv, to install other packages with,")
        return
    for arguments in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(environment)],
        ["pip", "install", "--quiet", "--python", str(python), *packages],
    ):
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"{' '.join(packages)} ({done.stderr.strip()[-300:]})")
