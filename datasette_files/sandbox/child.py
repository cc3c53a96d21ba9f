"""The beginning of every child process: confined first, then the program that it is for."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, BinaryIO

from . import confinement, framing


def begin(module: str, **confined: Any) -> None:
    """Confine this process, tell what the kernel refused, and run ``module.main(source, sink)``."""
    told = confinement.enter(**confined)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    program = importlib.import_module(module)
    sink.write(framing.packed(told))
    sink.flush()
    program.main(source, sink)


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """The program of a child that only tells what was refused: wait for the end."""
    source.read()
