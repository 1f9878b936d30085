"""A bucket of Amazon S3, or of a service that speaks as it does: MinIO, Ceph, R2 and others.

The client is boto3's: kept up by those who run S3, safe to share between threads (a session is not, so each client has
its own), and it knows all the places where AWS keeps credentials. Of the service it asks the oldest part of the
protocol only: an MD5 with what is put, addresses with the bucket in the path where an endpoint is named, and no
checksum that Amazon alone knows.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import IO, Any, Self, cast
from urllib.parse import unquote, urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from config import Settings
from config.basis import told
from worker.storage.meaning import ANYTHING, Opened, StorageUnavailable

CONNECT_SECONDS = 2.0
SILENCE_SECONDS = 7.0
"""How long the service may say nothing."""

TRIES = 3
"""With pauses of a second or two between: a service that does not answer at all has taken half a minute then, which is
what an attempt may take beyond its provider's time (docs/adr/0004)."""

MOST_CONNECTIONS = 256
"""How many connections are kept: about as many as a worker has threads. More are made when needed, and closed."""

MOST_DELETED = 1000
"""How many files one request may delete."""

GONE = ("404", "NoSuchKey", "NotFound")


def client(settings: Settings) -> Any:
    """A client for the service of the settings, for any number of threads."""
    endpoint = settings.s3_endpoint_url
    session = boto3.session.Session(
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=told(settings.s3_secret_access_key) or None,
        region_name=settings.s3_region or None,
    )
    return session.client(
        "s3",
        # Services other than Amazon's mostly have one region and believe what they are told of it.
        region_name=session.region_name or "us-east-1",
        endpoint_url=endpoint or None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENCE_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=MOST_CONNECTIONS,
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class Bucket:
    """The files of one bucket whose names begin with `prefix`."""

    def __init__(self, client: Any, name: str, *, prefix: str = "") -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The bucket of the settings. Asks it nothing yet."""
        url = urlsplit(settings.storage_url)
        return cls(client(settings), url.netloc, prefix=unquote(url.path).strip("/"))

    def put(self, key: str, data: bytes, *, media_type: str = ANYTHING) -> None:
        # The service compares the sum with what arrived, and refuses what was changed or cut on its way.
        md5 = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        with _service():
            self._client.put_object(**self._at(key), Body=data, ContentType=media_type, ContentMD5=md5)

    def read(self, key: str) -> bytes:
        with _service():
            return cast(bytes, self._client.get_object(**self._at(key))["Body"].read())

    def open(self, key: str) -> Opened:
        with _service():
            size = self._client.head_object(**self._at(key))["ContentLength"]
        return Opened(cast(IO[bytes], Remote(self._client, self._at(key), size)), size)

    def link(self, key: str, *, seconds: int, method: str, media_type: str, name: str) -> str:
        how = {
            **self._at(key),
            "ResponseContentDisposition": f'attachment; filename="{name}"',
            "ResponseContentType": media_type,
            "ResponseCacheControl": f"private, max-age={seconds}",
        }
        with _service():
            return cast(str, self._client.generate_presigned_url(f"{method.lower()}_object", how, ExpiresIn=seconds))

    def delete(self, *keys: str) -> None:
        self._delete([self._at(key)["Key"] for key in keys])

    def delete_all(self, prefix: str) -> None:
        self._delete(found["Key"] for found in self._list(prefix))

    def older_than(self, prefix: str | None, *, seconds: float) -> Iterator[str]:
        limit = datetime.now(UTC) - timedelta(seconds=seconds)
        for found in self._list(prefix):
            if found["LastModified"] <= limit:
                yield found["Key"].removeprefix(self._prefix)

    def _at(self, key: str) -> dict[str, str]:
        if {"", ".", ".."} & set(key.split("/")):
            raise ValueError(f"{key!r} is not inside the storage folder")
        return {"Bucket": self._name, "Key": f"{self._prefix}{key}"}

    def _list(self, prefix: str | None) -> Iterator[dict[str, Any]]:
        begin = self._prefix if prefix is None else f"{self._at(prefix)['Key']}/"
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=begin))
        while True:
            with _service():
                page = next(pages, None)
            if page is None:
                return
            yield from page.get("Contents", ())

    def _delete(self, names: Any) -> None:
        names = iter(names)
        while some := [{"Key": name} for name in islice(names, MOST_DELETED)]:
            with _service():
                done = self._client.delete_objects(Bucket=self._name, Delete={"Objects": some, "Quiet": True})
            if refused := done.get("Errors"):
                raise StorageUnavailable(f"S3 refused to delete {len(refused)} files: {refused[0].get('Code')}.")


class Remote(io.RawIOBase):
    """A file in a bucket. Nothing is fetched before something is read, and then from there on."""

    def __init__(self, client: Any, where: dict[str, str], size: int) -> None:
        self._client = client
        self._where = where
        self._size = size
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if place != self._at:
            self._hang_up()
            self._at = place
        return place

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        with _service():
            if self._body is None:
                self._body = self._client.get_object(**self._where, Range=f"bytes={self._at}-")["Body"]
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


@contextmanager
def _service() -> Iterator[None]:
    """What the service refuses, and what became of the way there, is told as what it means here."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in GONE:
            raise FileNotFoundError("There is no such file.") from None
        raise StorageUnavailable(f"S3 refused: {code}.") from None
    except BotoCoreError as error:
        # Its message has the address, and may have more.
        raise StorageUnavailable(f"S3 did not answer: {type(error).__name__}.") from None
