"""Formats of files: from bytes to rows, names or readable text. Pure, and bounded by the caller.

What reads rows runs in the import's own process, which loads none of Datasette: those modules
import the standard library and each other, and the libraries that read a format where that format
is asked for. ``base`` is the contract, open to plugins by ``register_import_formats``. Leaves out
where rows go (tables/scratch.py) and the process itself (imports/worker/main.py).
"""
