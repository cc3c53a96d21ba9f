"""The S3 storage of datasette-files, as its own distribution.

This release registers nothing: a source with ``storage: s3`` is refused at start as an unknown
storage type. The storage itself comes with its own issue; the distribution exists so that its
name, its entry point and the workspace are settled.
"""

__all__: list[str] = []
