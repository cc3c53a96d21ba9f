"""Clients that nobody here wrote, from npm, made into one script that a page can run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import missing

_MODULES = Path(__file__).parents[3] / "node_modules"
_BUNDLE = """const [contents, outfile] = process.argv.slice(1);
require("esbuild").buildSync({
    stdin: {resolveDir: process.cwd(), contents}, outfile,
    bundle: true, format: "iife", globalName: "judges", logLevel: "error",
})"""


def bundled(clients: dict[str, tuple[str, str]], folder: Path) -> str:
    """A script that defines ``judges``, with each client by its name.

    A client is an export of a package; ``*`` stands for all of its exports.
    """
    node = shutil.which("node")
    packages = [package for _, package in clients.values()]
    if node is None or not all((_MODULES / package).is_dir() for package in [*packages, "esbuild"]):
        missing(f"npm install --no-save --no-package-lock {' '.join(packages)} esbuild")
    lines = [
        f"export * as {name} from '{package}';"
        if export == "*"
        else f"export {{{export} as {name}}} from '{package}';"
        for name, (export, package) in clients.items()
    ]
    out = folder / "judges.js"
    command = [str(node), "-e", _BUNDLE, "\n".join(lines), str(out)]
    subprocess.run(command, check=True, cwd=_MODULES.parent, timeout=120)
    return f"{out.read_text('utf-8')}; globalThis.judges = judges; 0"
