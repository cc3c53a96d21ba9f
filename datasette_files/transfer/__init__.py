"""Bytes in, out and across: uploads, receiving, downloads, copying."""
