"""datasette-files."""
