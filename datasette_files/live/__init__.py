"""Live tables: what a file holds as a read-only database of Datasette, without an import.

cache.py keeps the databases on disk, attached.py connects Datasette to them, opening.py makes them
by jobs, live.py has the use cases. The file is read in imports/worker/opening.py, in the sandbox.
Leaves out who may see one (permissions/live.py) and HTTP (views/live.py).
"""
