"""A client for the files of a Datasette: upload, list, download, change, share. PUBLIC.

    from datasette_files.client import Client

    with Client("https://data.example.org", token="dstok_…") as client:
        record = client.put("docs", "report.pdf", folder="2026")
        client.get(record["id"], "copy.pdf")

``AsyncClient`` has the same methods for ``async with``. Large uploads and all downloads go on after
a break or a kill. The errors are those of ``datasette_files.errors``.
"""

from .blocking import Client
from .client import AsyncClient, Progress
from .keeping import Record
from .server import Unreachable

__all__ = ["AsyncClient", "Client", "Progress", "Record", "Unreachable"]
