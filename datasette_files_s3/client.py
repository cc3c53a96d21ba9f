"""``Connection``: a source's one long-lived client of its store, and the folder of its objects.

Imports the SDK only when a connection is opened. Leaves out the requests (the other modules) and
their errors (errors.py).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from datasette_files.base import signing_window
from datasette_files.errors import ConfigurationError, StorageUnavailable

from . import signing
from .config import MAX_TTL, Folder, S3Config
from .credentials import Broker
from .errors import BODILESS, NO_CREDENTIALS, REFUSED, code_of, storage_error

#: Seconds to connect, and to wait for the next bytes of an answer.
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
#: Seconds to wait for the answer to slow work: a copy, the end of a multipart upload.
PATIENT_SECONDS = 300.0
#: Seconds for one call with its repetitions, until the head of its answer.
CALL_SECONDS = 60.0
#: Attempts at a request, the first included.
ATTEMPTS = 3
#: Connections of one source; a stalled download holds one.
CONNECTIONS = 256
#: Those that downloads leave to other work: uploads, deletions, thumbnails, imports.
KEPT_CONNECTIONS = 64

#: Seconds between renewals of credentials because of refusals without a reason.
_DOUBT_SECONDS = 60.0

#: Files of the SDK that it reads when it makes a client.
_SDK_FILES = ("_retry", "endpoints", "partitions", "sdk-default-configuration")
_SDK_FILES_OF_S3 = ("service-2", "endpoint-rule-set-1")
_SLOW_OPERATIONS = ("CopyObject", "CompleteMultipartUpload")


class Connection:
    """Made by ``open``. ``client`` is aiobotocore's; ``presigner`` is a client that signs URLs."""

    def __init__(self, config: S3Config, broker: Broker | None) -> None:
        self.config = config
        self.broker = broker
        self.client: Any = None
        self.presigner: Any = None
        #: Whether the store lists unfinished uploads; True until it refused.
        self.finds_unfinished = True
        self._doubted_until = 0.0
        self._session: Any = None
        self._stack = AsyncExitStack()

    @classmethod
    async def open(cls, config: S3Config) -> Connection:
        """A connection ready for use. The only network call is to the broker.

        Raises ConfigurationError where the SDK is missing, StorageUnavailable while there are no
        credentials.
        """
        broker = Broker(config) if config.credentials_url is not None else None
        connection = cls(config, broker)
        try:
            if broker is not None:
                await asyncio.to_thread(_sdk)
                await broker.current()
            await connection._connect()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _connect(self) -> None:
        """Make the clients. The SDK is imported in a thread, as that and its files take a while."""
        session, options = await asyncio.to_thread(_prepare, self.config, self.broker)
        self._session = session
        self.client = await self._stack.enter_async_context(
            session.create_client("s3", endpoint_url=self.config.endpoint_url, **options)
        )
        signs = self.broker is not None or "aws_access_key_id" in options
        if not signs and await session.get_credentials() is None:
            # A client made without credentials never looks for them again, so the source is down.
            raise StorageUnavailable(NO_CREDENTIALS)
        for name in _SLOW_OPERATIONS:
            self.client.meta.events.register(f"before-call.s3.{name}", _set_read_timeout)
        # At the very end: the SDK's own handler, which adds the header, is on the whole service.
        self.client.meta.events.register_last("before-call.s3", _remove_expect)
        self.presigner = self.client
        public = self.config.public_endpoint_url
        if public is None and self._is_amazons_own_choice():
            # Else the SDK signs for the global address, which redirects to a young bucket's region,
            # and neither a signature nor a preflight survives a redirect.
            regional = type(options["config"])(s3={"addressing_style": "virtual"})
            options = {**options, "config": options["config"].merge(regional)}
        elif public is None:
            return
        self.presigner = await self._stack.enter_async_context(
            session.create_client("s3", endpoint_url=public, **options)
        )

    def _is_amazons_own_choice(self) -> bool:
        """Tell whether the SDK chooses the addressing style of a bucket of Amazon's."""
        host = urlsplit(self.client.meta.endpoint_url).hostname or ""
        return self.config.addressing_style == "auto" and host.endswith(".amazonaws.com")

    async def folder(self) -> Folder:
        """The folder for new work: the broker's, else the configured one.

        Raises StorageUnavailable.
        """
        if self.broker is not None:
            return (await self.broker.current()).folder
        folder = self.config.folder
        if folder is None:
            raise ConfigurationError("bucket is required")
        return folder

    async def presign(self, operation: str, *arguments: Any, seconds: int, **more: Any) -> Any:
        """The result of ``generate_presigned_url`` or ``generate_presigned_post``.

        Valid for ``seconds``, or until the credentials expire. Raises StorageUnavailable without
        credentials.
        """
        try:
            sign = getattr(self.presigner, operation)
            return await sign(*arguments, ExpiresIn=await self.lifetime(seconds), **more)
        except Exception as error:
            raise storage_error(error, operation) from error

    async def presign_get(self, seconds: int, **parameters: Any) -> str:
        """A URL of ``get_object`` with these parameters, the same within a ``signing_window``.

        At least half of ``seconds`` is left, or the rest of the credentials' life, if that is less.
        Raises as ``presign``.
        """
        url: str = await self.presign(
            "generate_presigned_url", "get_object", Params=parameters, seconds=seconds
        )
        if f"&X-Amz-Expires={seconds}&" not in url:
            return url  # cut to the life of the credentials, and so different each second
        begin, _ = signing_window(seconds, time.time())
        key_id, secret_access_key = await self._keys()
        if f"&X-Amz-Credential={quote(key_id, safe='')}%2F" not in url:
            return url  # the credentials were renewed just now
        return signing.signed_at(url, begin, secret_access_key)

    async def _keys(self) -> tuple[str, str]:
        """The access key's id and its secret, which sign now."""
        if self.broker is not None:
            held = await self.broker.current()
            return held.access_key_id, held.secret_access_key
        config = self.config
        if config.access_key_id is not None and config.secret_access_key is not None:
            secret = config.secret_access_key.get_secret_value()
            return config.access_key_id.get_secret_value(), secret
        frozen = await (await self._session.get_credentials()).get_frozen_credentials()
        return frozen.access_key, frozen.secret_key

    async def lifetime(self, seconds: int) -> int:
        """The life in seconds of a URL signed now: ``seconds``, or until the credentials expire.

        Raises StorageUnavailable, and the SDK's errors about credentials.
        """
        if self.broker is not None:
            expires_at: float | None = (await self.broker.current()).expires_at
        else:
            expires_at = await self._expiry()
        seconds = min(seconds, MAX_TTL)
        if expires_at is None:
            return seconds
        left = int(expires_at - time.time())
        if left < 1:
            raise StorageUnavailable("The credentials of this source have expired; try again")
        return min(seconds, left)

    async def _expiry(self) -> float | None:
        """The expiry of the SDK chain's credentials, in seconds since the epoch, or None."""
        if self.config.access_key_id is not None:
            return None  # the configured keys sign; the chain would read files and the network
        held = await self._session.get_credentials()
        if held is None:
            return None
        await held.get_frozen_credentials()  # renews them if they are due
        moment = getattr(held, "_expiry_time", None)
        return moment.timestamp() if moment is not None else None

    async def call(
        self, operation: str, *, seconds: float = CALL_SECONDS, **parameters: Any
    ) -> Any:
        """Run one operation of the client, such as ``head_object``; return its answer.

        Credentials that the store refuses are renewed once. Raises FileNotFoundError and the
        contract's errors.
        """
        renewed = False
        while True:
            used = await self.broker.current() if self.broker is not None else None
            try:
                work = getattr(self.client, operation)(**parameters)
                return await asyncio.wait_for(work, seconds)
            except Exception as error:
                if (
                    used is not None
                    and self.broker is not None
                    and not renewed
                    and self._credentials_refused(code_of(error))
                ):
                    self.broker.refused(used)
                    renewed = True
                    continue
                raise storage_error(error, operation) from error

    def _credentials_refused(self, code: str) -> bool:
        """Tell whether newer credentials may help.

        An answer to HEAD has no body, so its 403 may also mean a missing right; then the broker is
        asked at most once in ``_DOUBT_SECONDS``.
        """
        if code not in BODILESS:
            return code in REFUSED
        now = time.monotonic()
        if now < self._doubted_until:
            return False
        self._doubted_until = now + _DOUBT_SECONDS
        return True

    async def close(self) -> None:
        await self._stack.aclose()
        if self.broker is not None:
            await self.broker.close()


def _sdk() -> Any:
    """Import aiobotocore. Raises ConfigurationError, in a line that says what to install."""
    try:
        import aiobotocore.session  # noqa: PLC0415 - only once a source needs it
    except ImportError as error:
        raise ConfigurationError(
            f"storage: s3 needs a package that is not installed ({error.name}); run: datasette"
            " install aiobotocore"
        ) from error
    return aiobotocore


def _prepare(config: S3Config, broker: Broker | None) -> tuple[Any, dict[str, Any]]:
    """A session with the SDK's files read, and the options of its clients. Blocks."""
    _sdk()
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import AioSession  # noqa: PLC0415

    from .transport import Session  # noqa: PLC0415

    if config.ca_bundle is not None and not Path(config.ca_bundle).is_file():
        raise ConfigurationError(f"ca_bundle: there is no file {config.ca_bundle}")
    session = AioSession()
    loader = session.get_component("data_loader")
    for name in _SDK_FILES:
        loader.load_data_with_path(name)
    for name in _SDK_FILES_OF_S3:
        loader.load_service_model("s3", name)
    if broker is not None:
        _provide(session, broker)
    options: dict[str, Any] = {
        "region_name": config.region,
        "verify": config.ca_bundle,
        "config": AioConfig(
            signature_version="s3v4",
            # Many stores refuse, or ignore, the checksums that newer SDKs add.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": config.addressing_style, "payload_signing_enabled": False},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            user_agent_extra="datasette-files-s3",
            http_session_cls=Session,
        ),
    }
    if broker is None and config.access_key_id and config.secret_access_key:
        options["aws_access_key_id"] = config.access_key_id.get_secret_value()
        options["aws_secret_access_key"] = config.secret_access_key.get_secret_value()
        if config.session_token is not None:
            options["aws_session_token"] = config.session_token.get_secret_value()
    return session, options


def _provide(session: Any, broker: Broker) -> None:
    """Have every request of the session signed with the broker's newest credentials."""
    from aiobotocore.credentials import AioCredentials  # noqa: PLC0415
    from botocore.credentials import ReadOnlyCredentials  # noqa: PLC0415

    class BrokerCredentials(AioCredentials):  # type: ignore[misc]
        """Read at each signature, so that the client goes on after a renewal."""

        async def get_frozen_credentials(self) -> ReadOnlyCredentials:
            now = await broker.current()
            return ReadOnlyCredentials(now.access_key_id, now.secret_access_key, now.session_token)

    class Provider:
        METHOD = CANONICAL_NAME = "datasette-files-broker"

        async def load(self) -> BrokerCredentials:
            return BrokerCredentials("-", "-", method=self.METHOD)

    session.get_component("credential_provider").insert_before("env", Provider())


def _remove_expect(params: dict[str, Any], **_: Any) -> None:
    """Remove "Expect: 100-continue", which the SDK adds and some stores never answer."""
    params["headers"].pop("Expect", None)


def _set_read_timeout(context: dict[str, Any], **_: Any) -> None:
    context["read_timeout"] = PATIENT_SECONDS
