"""The only SQL on a user's databases, and on the scratch database that an import fills first.

``scratch`` runs in the import's own process, ``target`` on Datasette's write connection, and
``references`` reads. ``cache`` sets the memory of any connection, the internal database's too.
Leaves out the permissions on tables (columns/uses.py).
"""
