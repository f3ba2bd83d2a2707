"""How is an S3 bucket our object store?

boto3's failures are translated here and nowhere else.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from catalog.store.port import (
    Conflict,
    Created,
    Listed,
    Stored,
    StoreRefuses,
    StoreUnavailable,
    sha256_hex,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TAKEN = {409, 412}
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_REFUSING = {301, 400, 401, 403, 404, 405, 501}
# Of those statuses, but good on another attempt: slow, or damaged on the way.
_PASSING = {"RequestTimeout", "SlowDown", "BadDigest", "XAmzContentChecksumMismatch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """What every object carries, and how long a request may take."""

    cache_control: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    connect_timeout_s: float = 5.0
    # Three attempts of both together stay near `put_deadline_s`.
    read_timeout_s: float = 20.0
    connections: int = 64


class S3Store:
    """A store in a bucket, under a prefix. Safe to share among threads, not across forks."""

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._options = options
        self._made: Any = None
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        """The store as ``s3://`` URL."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket

    @property
    def _client(self) -> Any:
        # Made on first use, after the fork: sockets don't survive it, and boto3's sessions are
        # not safe to build from two threads.
        with self._making:
            if self._made is None:
                self._made = _client(self._options)
            return self._made

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = {}
    ) -> Created:
        """Put with ``If-None-Match: *``; read back when the key is taken."""
        sha256 = sha256_hex(content)
        try:
            self._put(key, content, media_type=media_type, metadata=metadata, IfNoneMatch="*")
        except ClientError as exc:
            if _status(exc) not in _TAKEN:
                raise _translation(exc, self._said(key)) from exc
        else:
            return Created(key=key, sha256=sha256, won=True)
        # boto3 answers 412 to its own put when the first reply was lost, so 412 alone says
        # nothing about who wrote the object.
        stored = self.read(key)
        if stored is None:
            msg = f"{self._said(key)} was taken and is gone again"
            raise StoreUnavailable(msg)
        return Created(key=key, sha256=stored.sha256, won=stored.sha256 == sha256)

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        """Put with ``If-Match`` (or ``If-None-Match: *`` where there was none)."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            reply = self._put(key, content, media_type=media_type, metadata={}, **condition)
        except ClientError as exc:
            if _status(exc) not in {*_TAKEN, 404}:
                raise _translation(exc, self._said(key)) from exc
        else:
            return str(reply["ETag"])
        stored = self.read(key)
        if stored is not None and stored.content == content:
            return stored.etag
        msg = f"{key} was changed by somebody else"
        raise Conflict(msg)

    def read(self, key: str) -> Stored | None:
        """Get an object whole."""
        with self._translated(key):
            try:
                reply = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                content = reply["Body"].read()
            except ClientError as exc:
                if _code(exc) in _ABSENT:
                    return None
                raise
        return Stored(
            key=key,
            content=content,
            etag=reply["ETag"],
            media_type=reply.get("ContentType", ""),
            metadata=reply.get("Metadata", {}),
        )

    def has(self, key: str) -> bool:
        """Head the object."""
        with self._translated(key):
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as exc:
                if _code(exc) in _ABSENT:
                    return False
                raise
        return True

    def list(self, prefix: str) -> Iterator[Listed]:
        """List page by page."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._translated(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield Listed(key=key, size_bytes=entry["Size"])

    def delete(self, key: str) -> None:
        """Delete the object."""
        with self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _put(
        self,
        key: str,
        content: bytes,
        *,
        media_type: str,
        metadata: Mapping[str, str],
        **condition: str,
    ) -> Any:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers: dict[str, Any] = {"ContentType": media_type, "Metadata": dict(metadata)}
        if self._options.cache_control:
            headers["CacheControl"] = self._options.cache_control
        if self._options.sse:
            headers["ServerSideEncryption"] = self._options.sse
        if self._options.sse_kms_key_id:
            headers["SSEKMSKeyId"] = self._options.sse_kms_key_id
        try:
            return self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=content,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=digest,
                **headers,
                **condition,
            )
        except (BotoCoreError, OSError) as exc:
            raise _translation(exc, self._said(key)) from exc

    def _said(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, OSError) as exc:
            raise _translation(exc, self._said(key)) from exc


def _client(options: S3Options) -> Any:
    config = Config(
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        max_pool_connections=options.connections,
        retries={"mode": "standard", "total_max_attempts": 3},
        # Custom endpoints seldom have a DNS name per bucket.
        s3={"addressing_style": "path"} if _has_endpoint() else {},
    )
    try:
        return boto3.session.Session().client("s3", config=config)
    except ValueError as exc:
        msg = f"{exc}: write it as http://host:port (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL)"
        raise StoreRefuses(msg) from exc


def _has_endpoint() -> bool:
    session = boto3.session.Session()._session  # noqa: SLF001  botocore's only way to ask for it
    return bool(session.get_config_variable("endpoint_url")) or bool(_s3_endpoint())


def _s3_endpoint() -> str | None:
    import os

    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _status(exc: ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))


def _translation(exc: Exception, said: str) -> Exception:
    if isinstance(exc, NoCredentialsError | PartialCredentialsError):
        msg = "no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return StoreRefuses(msg)
    if isinstance(exc, ParamValidationError):
        return StoreRefuses(f"{said} can't be asked for: {exc}")
    if not isinstance(exc, ClientError):
        return StoreUnavailable(f"the store can't be reached for {said}: {exc}")
    status, code = _status(exc), _code(exc)
    if code == "NoSuchBucket":
        return StoreRefuses(f"there is no bucket for {said}: make it, or mend SKUSCENE_STORE")
    if status in _REFUSING and code not in _PASSING:
        return StoreRefuses(f"the store refuses {said}: {code} (HTTP {status})")
    return StoreUnavailable(f"the store answered {code} (HTTP {status}) for {said}")
