"""The built-in storage: files in a directory, written only against base.py and errors.py.

root.py keeps every path inside the root; writing.py makes bytes durable; walk.py lists; storage.py
is the ``Storage``. Work that may wait for the disk runs in a thread. Needs a POSIX system.
"""

from .storage import FilesystemConfig, FilesystemStorage

__all__ = ["FilesystemConfig", "FilesystemStorage"]
