"""Prints the table of agreement; see agreement.py."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from tests.oracles import agreement

if __name__ == "__main__":
    parser = argparse.ArgumentParser("tests.oracles", description=agreement.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=[[], *agreement.KINDS])
    most = agreement.MAX_FILES
    parser.add_argument("--most", type=int, default=most, help="files of each kind")
    parser.add_argument("--worst", type=int, default=20, help="differences shown of each kind")
    asked = parser.parse_args()
    asyncio.run(agreement.main(asked.folder, asked.kinds, asked.most, asked.worst))
