"""One import: a process that reads a file, and the steps that write its rows.

Two sides, apart. In the server: run.py (the whole of it), process.py (starts the other side, feeds
it), fitting.py and writing.py. In the import's own process: worker.py and what it calls (pipe.py,
reading.py, filling.py, the formats, tables/scratch.py), which load nothing of Datasette.
"""
