"""``datasette files …``: the group is in group.py, its commands in the modules beside it."""

from .group import Commands, FilesGroup, Site

__all__ = ["Commands", "FilesGroup", "Site"]
