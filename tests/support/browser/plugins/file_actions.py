"""A Datasette plugin that offers something for files named ``menu.*``."""

from datasette import hookimpl


@hookimpl
def file_actions(datasette, actor, file, preview_bytes):
    if not file["filename"].startswith("menu."):
        return None
    return [{"href": file["download_url"], "label": "Take it away", "description": "As it is"}]
