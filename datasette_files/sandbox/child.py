"""The start of every child process: confine it, then run its program."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, BinaryIO

from . import confinement, framing


def begin(module: str, **confined: Any) -> None:
    """Confine this process, report refusals, and run ``module.main(source, sink)``."""
    told = confinement.enter(**confined)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not become part of an answer
    program = importlib.import_module(module)
    sink.write(framing.packed(told))
    sink.flush()
    program.main(source, sink)


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """The program of a child that only reports refusals: wait for the end of input."""
    source.read()
