"""The only SQL on Datasette's internal database.

Each module holds plain functions on a connection for one table or question; ``batching.py`` runs
them. Leaves out permissions' rule SQL (permissions/) and people's databases (tables/).
"""
