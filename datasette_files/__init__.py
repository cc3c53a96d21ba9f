"""datasette-files: file management for Datasette.

Public names are listed here once; Datasette finds its hooks here. The storage contract is in
``datasette_files.base``, the errors in ``datasette_files.errors``, the conformance suite for
storages in ``datasette_files.testing``.
"""

import sys

from datasette.plugins import pm as _pm

from .api import File, get_file
from .plugin import (
    asgi_wrapper,
    datasette_acl_roles,
    extra_css_urls,
    extra_js_urls,
    file_actions,
    homepage_actions,
    jump_items_sql,
    menu_links,
    permission_resources_sql,
    prepare_connection,
    register_actions,
    register_column_types,
    register_commands,
    register_events,
    register_files_storage_types,
    register_import_formats,
    register_mcp_tools,
    register_output_renderer,
    register_routes,
    register_secrets,
    render_cell,
    shutdown,
    startup,
    top_homepage,
    top_table,
    track_event,
)

__all__ = [
    "File",
    "asgi_wrapper",
    "datasette_acl_roles",
    "extra_css_urls",
    "extra_js_urls",
    "file_actions",
    "get_file",
    "homepage_actions",
    "jump_items_sql",
    "menu_links",
    "permission_resources_sql",
    "prepare_connection",
    "register_actions",
    "register_column_types",
    "register_commands",
    "register_events",
    "register_files_storage_types",
    "register_import_formats",
    "register_mcp_tools",
    "register_output_renderer",
    "register_routes",
    "register_secrets",
    "render_cell",
    "shutdown",
    "startup",
    "top_homepage",
    "top_table",
    "track_event",
]


def _register_again() -> None:
    """Register this module once more if Datasette did so before its hooks existed.

    Datasette loads its plugins when it is first imported. If that import comes from this package,
    the module is still empty, and Datasette would run without the plugin and without a word.
    """
    module = sys.modules[__name__]
    name = _pm.get_name(module)
    if name is not None and not _pm.get_hookcallers(module):
        _pm.unregister(module)
        _pm.register(module, name)


_register_again()
