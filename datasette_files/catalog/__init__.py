"""Use cases on what is known of a file: search it, delete it, restore it.

Leaves out bytes (transfer/) and the SQL (db/).
"""
