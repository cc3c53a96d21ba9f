"""Imports of files into tables: a child process reads the file, the server writes the rows.

In the server: imports.py (the use cases), run.py (one import), process.py (starts and feeds the
child), fitting.py and writing.py. In the child: worker/, the formats and tables/scratch.py, which
do not load Datasette.
"""
