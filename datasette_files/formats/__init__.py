"""Formats of files: from bytes to rows, names or readable text. Pure, and bounded by the caller."""
