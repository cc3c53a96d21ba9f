"""Our errors for those of S3 and of its SDK: one table, used at each call that may raise.

The messages are for the person who sent the request: they say what to do next and name no bucket,
key or host. Details for the administrator go to the log. Leaves out the calls themselves.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from datasette_files.errors import (
    Conflict,
    FilesError,
    FileTooLarge,
    Invalid,
    NoSpace,
    RangeUnsatisfiable,
    StorageError,
    StorageUnavailable,
)

logger = logging.getLogger("datasette_files_s3")

_MISSING = ("NoSuchKey", "NoSuchVersion", "NotFound", "404")
#: The credentials have expired; the broker may have newer ones.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
#: Refusals that newer credentials of the broker may mend, such as of a withdrawn key.
REFUSED = (*EXPIRED, "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId")
#: Statuses in place of a code, in answers to HEAD; expired credentials are one of their causes.
BODILESS = ("400", "403")

#: For a source that has credentials neither in its configuration nor in the SDK's own chain.
NO_CREDENTIALS = (
    "There are no credentials for the store; the source's administrator has to configure them, or"
    " mend where the server gets them from"
)

_LATER = "The store is busy or has a fault of its own; try again in a minute"
_DENIED = (
    "The store denies access to the files; the source's administrator finds out which right is"
    " missing with: datasette files s3-check"
)
_KEYS = "The store does not take the source's credentials; its administrator has to correct them"
_GONE = "The bucket of this source does not exist; its administrator has to make or correct it"
_REGION = "The bucket is in another region; the source's administrator has to correct region"
_CLOCK = "The clocks of this server and of the store differ; its administrator has to set them"
_ALTERED = "The bytes did not arrive at the store as they were sent; try again"
_CANNOT = "The store cannot do what the source needs of it; ask its administrator"
_CHANGED = "The object changed meanwhile; try again"
_FULL = "The store is full; ask its administrator for room"
_LARGE = "The file is larger than the store takes"
_OUTSIDE = "No byte that was asked for lies within the object"
_NAME = "The file's name is too long for the store; shorten it"
_LOCKED = "The store keeps this object from being changed; ask its administrator"

#: Our error for S3's codes: AWS's first, then other stores' own. A HEAD has no body, so its status
#: stands in for a code.
_ANSWERS: tuple[tuple[type[FilesError], str, str], ...] = (
    (StorageError, _GONE, "NoSuchBucket"),
    (StorageError, _DENIED, "AccessDenied AllAccessDisabled AccountProblem Forbidden 403"),
    (StorageError, _KEYS, "InvalidAccessKeyId InvalidClientTokenId InvalidToken"),
    (StorageError, _KEYS, "SignatureDoesNotMatch"),
    (StorageError, _REGION, "AuthorizationHeaderMalformed PermanentRedirect TemporaryRedirect"),
    (StorageError, _REGION, "IllegalLocationConstraintException 301 307"),
    (StorageError, _CLOCK, "RequestTimeTooSkewed"),
    (StorageUnavailable, _LATER, "ExpiredToken ExpiredTokenException TokenRefreshRequired"),
    (StorageUnavailable, _LATER, "RequestExpired SlowDown SlowDownRead SlowDownWrite"),
    (StorageUnavailable, _LATER, "ServiceUnavailable Throttling ThrottlingException"),
    (StorageUnavailable, _LATER, "RequestLimitExceeded TooManyRequests InternalError"),
    (StorageUnavailable, _LATER, "RequestTimeout OperationAborted ConditionalRequestConflict"),
    (StorageUnavailable, _LATER, "XMinioServerNotInitialized 429 500 502 503 504"),
    (Conflict, _CHANGED, "PreconditionFailed 412"),
    (FileTooLarge, _LARGE, "EntityTooLarge MaxMessageLengthExceeded 413"),
    (RangeUnsatisfiable, _OUTSIDE, "InvalidRange 416"),
    (Invalid, _NAME, "KeyTooLongError"),
    (StorageError, _ALTERED, "BadDigest InvalidDigest XAmzContentSHA256Mismatch IncompleteBody"),
    (StorageError, _CANNOT, "NotImplemented MethodNotAllowed"),
    (StorageError, _LOCKED, "InvalidObjectState ObjectLocked"),
    (NoSpace, _FULL, "QuotaExceeded QuotaExceededException InsufficientCapacity"),
    (NoSpace, _FULL, "InsufficientStorage StorageLimitExceeded XMinioStorageFull"),
    (NoSpace, _FULL, "XMinioAdminBucketQuotaExceeded 507"),
)
TABLE = {code: (kind, message) for kind, message, codes in _ANSWERS for code in codes.split()}


def code_of(error: BaseException) -> str:
    """S3's code, or the status where it gave none; empty if the store did not answer."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or "Error" not in response:
        return ""
    code: Any = response["Error"].get("Code")
    return str(code or status_of(error) or "")


def status_of(error: BaseException) -> int:
    """The HTTP status of the store's answer; 0 if it did not answer."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def caused_by(error: BaseException) -> str:
    """S3's code behind an error of ours."""
    return code_of(error.__cause__) if error.__cause__ is not None else ""


def storage_error(error: Exception, operation: str) -> Exception:
    """Our error for ``error``, which ``operation`` of the SDK raised.

    FileNotFoundError for a missing object. An error that is ours already is returned unchanged.
    """
    if isinstance(error, FilesError | FileNotFoundError):
        return error
    code = code_of(error)
    if code in _MISSING:
        return FileNotFoundError("no such object")
    if code or status_of(error):
        return _error_of_answer(error, code, operation)
    return _error_without_answer(error, operation)


def _error_of_answer(error: Exception, code: str, operation: str) -> FilesError:
    status = status_of(error)
    kind, message = TABLE.get(code) or TABLE.get(str(status)) or (StorageError, _CANNOT)
    if kind is StorageError and status >= 500 and status not in (501, 507) and code not in TABLE:
        kind, message = StorageUnavailable, _LATER
    if not issubclass(kind, RangeUnsatisfiable | Conflict):
        response: dict[str, Any] = getattr(error, "response", {})
        logger.warning(
            "S3 %s was answered %s %s: %s (request %s)",
            operation,
            status,
            code,
            response.get("Error", {}).get("Message", ""),
            response.get("ResponseMetadata", {}).get("RequestId", "unknown"),
        )
    return kind(message)


def _error_without_answer(error: Exception, operation: str) -> FilesError:
    """The error for a failed or senseless answer. Compares names, so the SDK is not imported."""
    names = {cls.__name__ for cls in type(error).__mro__}
    # Its message may hold a URL.
    logger.warning("S3 %s failed: %s", operation, type(error).__name__)
    if names & {"SSLError", "ClientSSLError", "SSLCertVerificationError"}:
        return StorageUnavailable(
            "The store's certificate is not trusted; the source's administrator has to correct"
            " ca_bundle or the store"
        )
    if names & {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "SSOError",
        "UnauthorizedSSOTokenError",
        "ProfileNotFound",
        "MetadataRetrievalError",
    }:
        return StorageUnavailable(NO_CREDENTIALS)
    if isinstance(error, OSError | asyncio.TimeoutError) or names & {
        "ClientError",  # aiohttp's
        "ConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ResponseStreamingError",
    }:
        return StorageUnavailable("The store cannot be reached; try again in a minute")
    logger.error("S3 %s failed in a way that is not known", operation, exc_info=error)
    return StorageError("The store gave an answer that makes no sense; ask its administrator")
