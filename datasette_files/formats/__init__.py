"""Formats: from the bytes of a file to rows. Pure.

Runs in the import's own process, which loads none of Datasette: modules here import the standard
library and each other, and the libraries that read a format where that format is asked for.
``base`` is the contract, open to plugins by ``register_import_formats``. Leaves out where rows go
(tables/scratch.py) and the process itself (import_worker.py).
"""
