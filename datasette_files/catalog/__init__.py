"""Use cases on the records of files: find, edit, search, delete, restore.

Leaves out bytes (transfer/) and the SQL (db/).
"""
