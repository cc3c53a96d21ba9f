"""The suite of datasette-files; it mirrors the packages."""

import os

# datasette-acl is loaded by its own tests alone: all others show that nothing needs it.
os.environ.setdefault("DATASETTE_LOAD_PLUGINS", "datasette-files,datasette-files-s3")
