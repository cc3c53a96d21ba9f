"""Rules of HTTP as pure functions: ranges, conditions, dispositions, digests and multipart bodies.

Nothing here knows Datasette, a storage or the database; one module per part of the protocol, each
naming the RFC it follows. Left out: sending and receiving, which belong to `datasette_files.views`.
"""
