"""The errors of datasette-files: each has a message, a code for clients and an HTTP status.

Public: a storage or a thumbnail plugin raises these, and nothing above a storage needs to know
the SDK behind it. The tree, with ``code`` and ``status``::

    Exception
    ├── ConfigurationError            a person must correct the configuration; stops the start
    └── FilesError                    answers a request
        ├── Invalid                   invalid               400
        ├── PermissionDenied          permission_denied     403
        ├── NotFound                  not_found             404
        ├── NotSupported              not_supported         405
        ├── TimedOut                  timeout               408
        ├── Conflict                  conflict              409
        ├── Expired                   expired               410
        ├── FileTooLarge              too_large             413
        ├── QuotaExceeded             quota_exceeded        413
        ├── BadType                   bad_type              415
        ├── RangeUnsatisfiable        range                 416
        ├── ChecksumMismatch          checksum_mismatch     422
        ├── StorageError              storage_error         502
        ├── StorageUnavailable        storage_unavailable   503
        └── NoSpace                   no_space              507

This module imports nothing. The message of an error is shown to people as it is: it says what
happened and what to do next, and never holds a secret.
"""

__all__ = [
    "BadType",
    "ChecksumMismatch",
    "ConfigurationError",
    "Conflict",
    "Expired",
    "FileTooLarge",
    "FilesError",
    "Invalid",
    "NoSpace",
    "NotFound",
    "NotSupported",
    "PermissionDenied",
    "QuotaExceeded",
    "RangeUnsatisfiable",
    "StorageError",
    "StorageUnavailable",
    "TimedOut",
]


class ConfigurationError(Exception):
    """The configuration has a fault that only a person can correct."""


class FilesError(Exception):
    """Base of errors that answer a request: ``code`` for programs, the message for people."""

    code = "storage_error"
    status = 502

    def __init_subclass__(cls, *, code: str | None = None, status: int | None = None) -> None:
        super().__init_subclass__()
        cls.code, cls.status = code or cls.code, status or cls.status

    def __init__(
        self,
        message: str,
        *more: str,
        headers: dict[str, str] | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        #: Every message, for Datasette's ``errors`` list.
        self.messages = [message, *more]
        #: Extra response headers, such as ``Content-Range`` with a 416.
        self.headers = headers or {}
        #: The field of a form that the message is about, so that the form shows it there.
        self.field = field


class Invalid(FilesError, code="invalid", status=400):
    """The request is malformed, or a value in it is."""


class PermissionDenied(FilesError, code="permission_denied", status=403):
    """The actor may not do this."""


class NotFound(FilesError, code="not_found", status=404):
    """The source, file, upload or job does not exist."""


class NotSupported(FilesError, code="not_supported", status=405):
    """The route does not take this method, or the storage does not have this power."""


class TimedOut(FilesError, code="timeout", status=408):
    """The client was too slow, or the work took longer than it may."""


class Conflict(FilesError, code="conflict", status=409):
    """The present state does not allow this, such as an upload that is being received."""


class Expired(FilesError, code="expired", status=410):
    """The upload was prepared too long ago; prepare a new one."""


class FileTooLarge(FilesError, code="too_large", status=413):
    """The file has more bytes than allowed here."""


class QuotaExceeded(FilesError, code="quota_exceeded", status=413):
    """The place for files has no room left for this one."""


class BadType(FilesError, code="bad_type", status=415):
    """The source does not take files of this type, or the request body has the wrong one."""


class RangeUnsatisfiable(FilesError, code="range", status=416):
    """No requested range lies within the representation (RFC 9110, 15.5.17)."""


class ChecksumMismatch(FilesError, code="checksum_mismatch", status=422):
    """The bytes received are not those whose sha256 was declared."""


class StorageError(FilesError, code="storage_error", status=502):
    """The storage failed or gave a senseless answer."""


class StorageUnavailable(FilesError, code="storage_unavailable", status=503):
    """The storage cannot be reached now; trying again later may work."""


class NoSpace(FilesError, code="no_space", status=507):
    """The storage is full."""
