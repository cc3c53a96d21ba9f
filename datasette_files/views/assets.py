"""Addresses of the static files in templates."""

from __future__ import annotations

from ..app import Files


def asset(files: Files, name: str) -> str:
    """The address of a static file, with a hash of its content.

    Datasette reads the metadata of all plugins for each, which takes 3 ms. Where it caches hashes,
    the address cannot change, so it is cached too.
    """
    if (url := files.assets.get(name)) is not None:
        return url
    found: str = files.datasette.static(name, plugin="datasette_files")
    if files.datasette.cache_headers:
        files.assets[name] = found
    return found
