"""From the errors of S3 and of its SDK to ours: one table, used at each call that may raise.

The messages are for whoever sent the request: they say what to do next and name no bucket, key or
host. What an administrator needs beyond that goes to the log. Leaves out the calls themselves.
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
#: The credentials are too old: others may be had.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
#: Refused too, in a way that a broker's newest credentials may mend: a key that was withdrawn.
REFUSED = (*EXPIRED, "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId")
#: Statuses in place of a code, in answers to HEAD: credentials that expired are among their causes.
BODILESS = ("400", "403")

#: What is said where neither the configuration nor the SDK's own chain has any.
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
_CLOCK = "The clocks of the server and the store differ; ask the administrator to set them"
_ALTERED = "The bytes changed on their way to the store; try again"
_CANNOT = "The store lacks a function that the source needs; ask its administrator"
_CHANGED = "The object has changed; try again"
_FULL = "The store is full; ask its administrator for more space"
_LARGE = "The file is larger than the store accepts; send a smaller one"
_OUTSIDE = "No requested byte lies within the object"
_LOCKED = "The store does not allow changes of this object; ask its administrator"

#: S3's codes, AWS's first and then other stores' own. A HEAD has no body, so its status stands in.
TABLE: dict[str, tuple[type[FilesError], str]] = {
    "NoSuchBucket": (StorageError, _GONE),
    "AccessDenied": (StorageError, _DENIED),
    "AllAccessDisabled": (StorageError, _DENIED),
    "AccountProblem": (StorageError, _DENIED),
    "Forbidden": (StorageError, _DENIED),
    "403": (StorageError, _DENIED),
    "InvalidAccessKeyId": (StorageError, _KEYS),
    "InvalidClientTokenId": (StorageError, _KEYS),
    "InvalidToken": (StorageError, _KEYS),
    "SignatureDoesNotMatch": (StorageError, _KEYS),
    "AuthorizationHeaderMalformed": (StorageError, _REGION),
    "PermanentRedirect": (StorageError, _REGION),
    "TemporaryRedirect": (StorageError, _REGION),
    "IllegalLocationConstraintException": (StorageError, _REGION),
    "301": (StorageError, _REGION),
    "307": (StorageError, _REGION),
    "RequestTimeTooSkewed": (StorageError, _CLOCK),
    "ExpiredToken": (StorageUnavailable, _LATER),
    "ExpiredTokenException": (StorageUnavailable, _LATER),
    "TokenRefreshRequired": (StorageUnavailable, _LATER),
    "RequestExpired": (StorageUnavailable, _LATER),
    "SlowDown": (StorageUnavailable, _LATER),
    "SlowDownRead": (StorageUnavailable, _LATER),
    "SlowDownWrite": (StorageUnavailable, _LATER),
    "ServiceUnavailable": (StorageUnavailable, _LATER),
    "Throttling": (StorageUnavailable, _LATER),
    "ThrottlingException": (StorageUnavailable, _LATER),
    "RequestLimitExceeded": (StorageUnavailable, _LATER),
    "TooManyRequests": (StorageUnavailable, _LATER),
    "InternalError": (StorageUnavailable, _LATER),
    "RequestTimeout": (StorageUnavailable, _LATER),
    "OperationAborted": (StorageUnavailable, _LATER),
    "ConditionalRequestConflict": (StorageUnavailable, _LATER),
    "XMinioServerNotInitialized": (StorageUnavailable, _LATER),
    "429": (StorageUnavailable, _LATER),
    "500": (StorageUnavailable, _LATER),
    "502": (StorageUnavailable, _LATER),
    "503": (StorageUnavailable, _LATER),
    "504": (StorageUnavailable, _LATER),
    "PreconditionFailed": (Conflict, _CHANGED),
    "412": (Conflict, _CHANGED),
    "EntityTooLarge": (FileTooLarge, _LARGE),
    "MaxMessageLengthExceeded": (FileTooLarge, _LARGE),
    "413": (FileTooLarge, _LARGE),
    "InvalidRange": (RangeUnsatisfiable, _OUTSIDE),
    "416": (RangeUnsatisfiable, _OUTSIDE),
    "KeyTooLongError": (Invalid, "The file's name is too long for the store; shorten it"),
    "BadDigest": (StorageError, _ALTERED),
    "InvalidDigest": (StorageError, _ALTERED),
    "XAmzContentSHA256Mismatch": (StorageError, _ALTERED),
    "IncompleteBody": (StorageError, _ALTERED),
    "NotImplemented": (StorageError, _CANNOT),
    "MethodNotAllowed": (StorageError, _CANNOT),
    "InvalidObjectState": (StorageError, _LOCKED),
    "ObjectLocked": (StorageError, _LOCKED),
    "QuotaExceeded": (NoSpace, _FULL),
    "QuotaExceededException": (NoSpace, _FULL),
    "InsufficientCapacity": (NoSpace, _FULL),
    "InsufficientStorage": (NoSpace, _FULL),
    "StorageLimitExceeded": (NoSpace, _FULL),
    "XMinioStorageFull": (NoSpace, _FULL),
    "XMinioAdminBucketQuotaExceeded": (NoSpace, _FULL),
    "507": (NoSpace, _FULL),
}


def code_of(error: BaseException) -> str:
    """S3's code, or the status where it gave none; empty for what is no answer of a store."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or "Error" not in response:
        return ""
    code: Any = response["Error"].get("Code")
    return str(code or status_of(error) or "")


def status_of(error: BaseException) -> int:
    """The HTTP status of a store's answer; 0 for anything else."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    status: int = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def caused_by(error: BaseException) -> str:
    """S3's code behind an error of ours."""
    return code_of(error.__cause__) if error.__cause__ is not None else ""


def translated(error: Exception, operation: str) -> Exception:
    """What to raise in place of ``error``, which ``operation`` of the SDK raised.

    FileNotFoundError for a missing object; ours and the contract's own come back as they are.
    """
    if isinstance(error, FilesError | FileNotFoundError):
        return error
    code = code_of(error)
    if code in _MISSING:
        return FileNotFoundError("no such object")
    if code or status_of(error):
        return _answered(error, code, operation)
    return _unanswered(error, operation)


def _answered(error: Exception, code: str, operation: str) -> FilesError:
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


def _unanswered(error: Exception, operation: str) -> FilesError:
    """No answer, or none that makes sense. Of the SDK's errors only the names are needed here."""
    names = {cls.__name__ for cls in type(error).__mro__}
    # Its message may hold a URL.
    logger.warning("S3 %s failed: %s", operation, type(error).__name__)
    if names & {"SSLError", "ClientSSLError", "SSLCertVerificationError"}:
        return StorageUnavailable(
            "The store's certificate is not trusted; ask the source's administrator to correct"
            " ca_bundle or the certificate"
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
    logger.error("S3 %s failed with an unknown error", operation, exc_info=error)
    return StorageError("The store gave an invalid answer; ask its administrator")
