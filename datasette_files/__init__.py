"""datasette-files: file management for Datasette.

Public names are listed here once; Datasette finds its hooks here. The storage contract is in
``datasette_files.base``, the errors in ``datasette_files.errors``, the conformance suite for
storages in ``datasette_files.testing``.
"""

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
    register_output_renderer,
    register_routes,
    register_secrets,
    render_cell,
    shutdown,
    startup,
    top_table,
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
    "register_output_renderer",
    "register_routes",
    "register_secrets",
    "render_cell",
    "shutdown",
    "startup",
    "top_table",
]
