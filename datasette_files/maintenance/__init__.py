"""Background rounds that keep a site in order: sweeping, hashing, purging, verification.

Each reports through the log and the storages page. None repairs a file.
"""
