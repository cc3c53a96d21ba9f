"""``datasette files …``: the group is in group.py, its commands in the modules beside it."""

from .group import FilesGroup
from .site import Commands, Site

__all__ = ["Commands", "FilesGroup", "Site"]
