"""Formats of files: from bytes to rows. Pure; the caller sets the limits.

These modules run in the import's own process, which does not load Datasette: they import the
standard library, each other, and the library of a format only when that format is read. ``base``
is the contract for plugins (``register_import_formats``). Leaves out the storing of rows
(tables/scratch.py) and the process itself (imports/worker/main.py).
"""
