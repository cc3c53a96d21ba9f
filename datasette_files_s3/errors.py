"""Our errors for those of S3 and of its SDK: one table, used at each call that may raise.

The messages are for the person who sent the request: they say what to do next and name no bucket,
key or host. Details for the administrator go to the log. Leaves out the calls themselves.
"""

from __future__ import annotations

import asyncio
import logging
import re
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

_REGION_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")

_MISSING = ("NoSuchKey", "NoSuchVersion", "NotFound", "404")
#: The credentials have expired; the broker may have newer ones.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
#: Refusals that newer credentials of the broker may mend, such as of a withdrawn key.
REFUSED = (*EXPIRED, "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId")
#: Statuses in place of a code, in answers to HEAD; expired credentials are one of their causes.
BODILESS = ("400", "403")

#: For a source that has credentials neither in its configuration nor in the SDK's own chain.
NO_CREDENTIALS = (
    "The server has no credentials for the store; ask the source's administrator to configure them,"
    " or to correct the place from which the server reads them"
)

_LATER = "The store is busy or has an internal fault; try again in a minute"
_DENIED = (
    "The store denies access to the files; ask the source's administrator to find the missing right"
    " with: datasette files s3-check"
)
_KEYS = "The store rejects the source's credentials; ask its administrator to correct them"
_GONE = "This source's bucket does not exist; ask the administrator to create it or correct bucket"
_REGION = "The bucket is in another region; ask the source's administrator to correct region"
_IN_REGION = "The bucket is in the region {0}; ask the source's administrator to set region: {0}"
_CLOCK = "The clocks of the server and the store differ; ask the administrator to set them"
_ALTERED = "The bytes changed on their way to the store; try again"
_CANNOT = "The store lacks a function that the source needs; ask its administrator"
_CHANGED = "The object has changed; try again"
_FULL = "The store is full; ask its administrator for more space"
_LARGE = "The file is larger than the store accepts; send a smaller one"
_OUTSIDE = "No requested byte lies within the object"
_LOCKED = "The store does not allow changes of this object; ask its administrator"
_NAME = "The file's name is too long for the store; shorten it"

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

#: Classes of the SDK's errors, by name; ClientError is aiohttp's.
_CREDENTIAL_ERRORS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("TokenRetrievalError", "SSOError", "UnauthorizedSSOTokenError"),
    *("ProfileNotFound", "MetadataRetrievalError"),
}
_CONNECTION_ERRORS = {
    *("ClientError", "ConnectionError", "HTTPClientError"),
    *("IncompleteReadError", "ResponseStreamingError"),
}


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


def region_of(error: BaseException) -> str:
    """The region that the store's answer names as the bucket's; empty if it names none."""
    response: Any = getattr(error, "response", None) or {}
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or ""
    return named if _REGION_NAME.fullmatch(named) else ""


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
    if message == _REGION and (region := region_of(error)):
        message = _IN_REGION.format(region)
    if kind is StorageError and status >= 500 and status not in (501, 507) and code not in TABLE:
        kind, message = StorageUnavailable, _LATER
    # Conditions, ranges and ended uploads are answers that the callers expect.
    if not issubclass(kind, RangeUnsatisfiable | Conflict) and code != "NoSuchUpload":
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
            "The store's certificate is not trusted; ask the source's administrator to correct"
            " ca_bundle or the certificate"
        )
    if names & _CREDENTIAL_ERRORS:
        return StorageUnavailable(NO_CREDENTIALS)
    if isinstance(error, OSError | asyncio.TimeoutError) or names & _CONNECTION_ERRORS:
        return StorageUnavailable("The store cannot be reached; try again in a minute")
    logger.error("S3 %s failed with an unknown error", operation, exc_info=error)
    return StorageError("The store gave an invalid answer; ask its administrator")
