"""The rights of a source in its bucket, found out by trying each.

Holds the list of rights, and the trial of each in keys of its own below the source's prefix. Leaves
out the report (cli.py) and the policy that gives the rights (policy.py). The trial deletes its
objects; where that is forbidden, ``Trial.left`` names them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from datasette_files.errors import StorageError, StorageUnavailable

from .client import Connection
from .config import Folder, is_access_point
from .deleting import ONE_BY_ONE
from .direct import encryption_headers
from .errors import code_of, region_of, status_of

_CONTENT = b"A trial of datasette-files: may be deleted.\n"
_TYPE = "text/plain"
_Try = Callable[[], Awaitable[None]]
#: Codes after which no right can be tried.
_FATAL = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct `bucket`",
    "InvalidAccessKeyId": "the store does not know the access key; correct `access_key_id`",
    "SignatureDoesNotMatch": "the secret key is wrong; correct `secret_access_key`",
    "ExpiredToken": "the credentials have expired; get new ones",
    "InvalidToken": "the session token is wrong; correct `session_token`",
    "PermanentRedirect": "the bucket is in another region; correct `region` or `endpoint_url`",
    "AuthorizationHeaderMalformed": "the bucket is in another region; correct `region`",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}


@dataclass
class Finding:
    """The trial of one right. ``actions`` are those of a policy; ``problem`` is None on success.

    ``tried`` is false where a trial that it depends on failed.
    """

    name: str
    actions: tuple[str, ...]
    problem: str | None = None
    tried: bool = True

    @property
    def state(self) -> str:
        if not self.tried:
            return "not tried"
        return "ok" if self.problem is None else "missing"


class _Refused(Exception):
    """The store refused. The message gives the reason."""


@dataclass
class Trial:
    """One trial of every right of a source. ``run`` does it once."""

    connection: Connection
    folder: Folder
    findings: list[Finding] = field(default_factory=list)
    #: Keys and uploads that could not be removed.
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = f"{self.folder.prefix}datasette-files-check-{secrets.token_hex(8)}"
        self._put, self._posted = f"{name}/put", f"{name}/post"
        self._copy, self._parts, self._dropped = f"{name}/copy", f"{name}/parts", f"{name}/dropped"
        self._below = f"{name}/"
        self._etag = ""
        self._made: list[str] = []
        self._uploads: dict[str, str] = {}

    async def run(self) -> list[Finding]:
        """Try each right. Raises StorageError, StorageUnavailable where none can be tried."""
        put, get, listing = ("s3:PutObject",), ("s3:GetObject",), ("s3:ListBucket",)
        delete, abort = ("s3:DeleteObject",), ("s3:AbortMultipartUpload",)
        unfinished = ("s3:ListBucketMultipartUploads",)
        parts = ("s3:ListMultipartUploadParts",)
        stored, described, in_parts = "store an object", "describe an object", "store in parts"
        #: Each right, its actions, its trial, and the right that the trial needs.
        trials: tuple[tuple[str, tuple[str, ...], _Try, str | None], ...] = (
            (stored, put, self._put_object, None),
            (described, get, self._head_object, stored),
            ("read a range of an object", get, self._get_object, stored),
            ("let a browser read (presigned GET)", get, self._presigned_get, stored),
            ("copy an object", (*get, *put), self._copy_object, stored),
            ("see that an object does not exist", listing, self._head_nothing, described),
            ("list objects", listing, self._list_objects, None),
            ("let a browser store (presigned POST)", put, self._presigned_post, None)
            if self._posts
            else ("let a browser store (presigned PUT)", put, self._presigned_put, None),
            (in_parts, put, self._multipart, None),
            ("let a browser store a part", put, self._presigned_part, in_parts),
            ("list the parts of an upload", parts, self._list_parts, "let a browser store a part"),
            ("abort an upload in parts", abort, self._abort_multipart, in_parts),
            ("find unfinished uploads", unfinished, self._list_unfinished, None),
            ("delete an object", delete, self._delete_object, None),
            ("delete many objects", delete, self._delete_objects, None),
        )
        try:
            for name, actions, trial, needed in trials:
                possible = needed not in [finding.name for finding in self.missing]
                await self._try(name, actions, trial, possible=possible)
        finally:
            await self._clean_up()
        return self.findings

    @property
    def missing(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.problem is not None]

    async def _try(
        self, name: str, actions: tuple[str, ...], trial: _Try, *, possible: bool
    ) -> None:
        finding = Finding(name, actions)
        self.findings.append(finding)
        if not possible:
            finding.tried, finding.problem = False, "needs a right that is missing above"
            return
        try:
            await self._run_trial(trial)
        except _Refused as error:
            finding.problem = str(error)

    async def _run_trial(self, trial: _Try) -> None:
        """Run a trial. Raises _Refused, StorageError, StorageUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            await trial()
        except ClientError as error:
            told = error.response.get("Error", {})
            code = str(told.get("Code") or "")
            if code in _FATAL:
                region = region_of(error)
                hint = f" (the store names {region})" if region else ""
                raise StorageError(f"{code}: {_FATAL[code]}{hint}") from error
            raise _Refused(f"{code}: {told.get('Message') or 'no reason given'}") from error
        except (BotoCoreError, OSError) as error:
            raise StorageUnavailable(f"The store cannot be reached: {error}") from error

    @property
    def _posts(self) -> bool:
        access_point = is_access_point(self.folder.bucket)
        return self.connection.config.upload_method == "POST" and not access_point

    @property
    def _made_with(self) -> dict[str, str]:
        return {"ContentType": _TYPE, **self.connection.config.encryption}

    @property
    def _client(self) -> Any:
        return self.connection.client

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self.folder.bucket, "Key": key}

    @contextmanager
    def _making(self, key: str) -> Iterator[None]:
        """Note the key for deletion, unless the store refuses: after a lost answer it may exist."""
        self._made.append(key)
        try:
            yield
        except Exception as error:
            if code_of(error) or isinstance(error, _Refused):
                self._made.remove(key)
            raise

    async def _put_object(self) -> None:
        with self._making(self._put):
            answer = await self._client.put_object(
                **self._where(self._put), Body=_CONTENT, **self._made_with
            )
        self._etag = answer["ETag"]

    async def _head_object(self) -> None:
        answer = await self._client.head_object(**self._where(self._put))
        if answer["ContentLength"] != len(_CONTENT):
            raise _Refused(f"the object has {answer['ContentLength']} bytes, not {len(_CONTENT)}")

    async def _head_nothing(self) -> None:
        try:
            await self._client.head_object(**self._where(self._dropped))
        except Exception as error:
            if status_of(error) != 404:
                raise

    async def _get_object(self) -> None:
        answer = await self._client.get_object(**self._where(self._put), Range="bytes=2-6")
        async with answer["Body"] as body:
            if await body.read() != _CONTENT[2:7]:
                raise _Refused("the bytes are not those of the requested range")

    async def _presigned_get(self) -> None:
        url = await self.connection.presigner.generate_presigned_url(
            "get_object", Params=self._where(self._put), ExpiresIn=60
        )
        await self._as_a_browser("GET", url)

    async def _list_objects(self) -> None:
        answer = await self._client.list_objects_v2(Bucket=self.folder.bucket, Prefix=self._below)
        listed = {entry["Key"] for entry in answer.get("Contents", [])}
        if not set(self._made) <= listed:
            raise _Refused("a stored object is not listed")

    async def _copy_object(self) -> None:
        with self._making(self._copy):
            await self._client.copy_object(
                **self._where(self._copy),
                CopySource=self._where(self._put),
                CopySourceIfMatch=self._etag,
                MetadataDirective="REPLACE",
                **self._made_with,
            )

    async def _presigned_put(self) -> None:
        where = self._where(self._posted)
        url = await self.connection.presigner.generate_presigned_url(
            "put_object", Params={**where, **self._made_with}, ExpiresIn=60
        )
        headers = {"Content-Type": _TYPE, **encryption_headers(self.connection.config)}
        with self._making(self._posted):
            await self._as_a_browser("PUT", url, headers=headers)

    async def _presigned_post(self) -> None:
        fields = {"Content-Type": _TYPE, **encryption_headers(self.connection.config)}
        post = await self.connection.presigner.generate_presigned_post(
            **self._where(self._posted),
            Fields=fields,
            Conditions=[
                *({name: value} for name, value in fields.items()),
                ["content-length-range", len(_CONTENT), len(_CONTENT)],
            ],
            ExpiresIn=60,
        )
        with self._making(self._posted):
            await self._as_a_browser("POST", post["url"], post["fields"])

    async def _multipart(self) -> None:
        where = self._where(self._parts)
        answer = await self._client.create_multipart_upload(**where, **self._made_with)
        where["UploadId"] = self._uploads[self._parts] = answer["UploadId"]
        part = await self._client.upload_part(**where, PartNumber=1, Body=_CONTENT)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        with self._making(self._parts):
            await self._client.complete_multipart_upload(**where, MultipartUpload=parts)
        del self._uploads[self._parts]

    async def _unfinished(self) -> dict[str, str]:
        """The upload that is never completed, begun once."""
        where = self._where(self._dropped)
        if self._dropped not in self._uploads:
            answer = await self._client.create_multipart_upload(**where, **self._made_with)
            self._uploads[self._dropped] = answer["UploadId"]
        return {**where, "UploadId": self._uploads[self._dropped]}

    async def _presigned_part(self) -> None:
        where = await self._unfinished()
        url = await self.connection.presigner.generate_presigned_url(
            "upload_part",
            Params={**where, "PartNumber": 1, "ContentLength": len(_CONTENT)},
            ExpiresIn=60,
        )
        await self._as_a_browser("PUT", url, headers={"Content-Type": _TYPE})

    async def _list_parts(self) -> None:
        answer = await self._client.list_parts(**await self._unfinished())
        if [part["Size"] for part in answer.get("Parts", [])] != [len(_CONTENT)]:
            raise _Refused("a part that was sent is not listed")

    async def _abort_multipart(self) -> None:
        await self._client.abort_multipart_upload(**await self._unfinished())
        del self._uploads[self._dropped]

    async def _list_unfinished(self) -> None:
        await self._client.list_multipart_uploads(Bucket=self.folder.bucket, Prefix=self._dropped)

    async def _delete_object(self) -> None:
        # Deleting a missing object needs the same right.
        await self._client.delete_object(**self._where(self._put))
        self._made = [key for key in self._made if key != self._put]

    async def _delete_objects(self) -> None:
        keys = self._made or [self._copy]
        try:
            answer = await self._client.delete_objects(
                Bucket=self.folder.bucket, Delete={"Objects": [{"Key": key} for key in keys]}
            )
        except Exception as error:
            if code_of(error) not in ONE_BY_ONE:
                raise
            answer = {}
            for key in keys:  # as the storage does
                await self._client.delete_object(**self._where(key))
        if errors := answer.get("Errors"):
            raise _Refused(f"{errors[0].get('Code')}: {errors[0].get('Message')}")
        self._made.clear()

    async def _as_a_browser(
        self,
        method: str,
        url: str,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send a request without credentials: a form with fields, a PUT with headers.

        Raises _Refused.
        """
        import aiohttp  # noqa: PLC0415 - only once a command needs it

        from .credentials import tls  # noqa: PLC0415

        form: Any = _CONTENT if method == "PUT" else None
        if fields is not None:
            form = aiohttp.FormData(fields, default_to_multipart=True)
            form.add_field("file", _CONTENT, filename="file", content_type=_TYPE)
        timeout = aiohttp.ClientTimeout(total=60)
        verify = tls(self.connection.config.ca_bundle)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.request(method, url, data=form, headers=headers, ssl=verify) as answer,
            ):
                body = await answer.content.read(64 * 1024)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            address = url.partition("?")[0]
            raise _Refused(f"{address} cannot be reached from here ({error})") from error
        if status >= 300:
            code = re.search(rb"<Code>([\w.-]+)</Code>", body)
            raise _Refused(f"{code[1].decode() if code else 'no reason given'}: status {status}")

    async def _clean_up(self) -> None:
        for key in list(self._made):
            await self._remove(key, self._client.delete_object(**self._where(key)))
        for key, upload in self._uploads.items():
            where = {**self._where(key), "UploadId": upload}
            await self._remove(key, self._client.abort_multipart_upload(**where))

    async def _remove(self, key: str, request: Awaitable[Any]) -> None:
        async def remove() -> None:
            await request

        try:
            await self._run_trial(remove)
        except (_Refused, StorageError, StorageUnavailable):
            self.left.append(key)
