"""The test suite for authors of storages: ``StorageContract``, and its helpers.

Needs pytest and pytest-asyncio (the extra ``datasette-files[testing]``); nothing else of
datasette-files imports this package.
"""

import pytest

# Lets a failed check show its values, as in a test module. Must come before the imports.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("helpers", "writing", "appending", "reading", "listing", "remote", "parts")
    )
)

from .contract import StorageContract  # noqa: E402
from .helpers import (  # noqa: E402
    assert_absent,
    chunked,
    collect,
    content_of,
    list_all,
    sha256_of,
    store,
    takes_bytes,
)

__all__ = [
    "StorageContract",
    "assert_absent",
    "chunked",
    "collect",
    "content_of",
    "list_all",
    "sha256_of",
    "store",
    "takes_bytes",
]
