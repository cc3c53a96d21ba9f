"""The suite of datasette-files; it mirrors the packages."""
