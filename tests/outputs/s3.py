"""An S3 that no one here wrote (moto), spoken to over real HTTP, and one that has bad days."""

from __future__ import annotations

import hashlib
import io
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from config import Settings, settings
from worker.storage.s3 import client

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>"

BUCKET = "a-bucket-of-tests"

App = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


@dataclass
class Service:
    """What is in front of moto: notes requests, refuses what it is told to, and checks sums, which moto does not."""

    app: App = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    seen: list[str] = field(default_factory=list)
    """Methods and paths of all requests, in their order."""
    refuses: Callable[[Request], bool] = lambda _: False
    """Which requests are answered with a 503."""
    spoils: bool = False
    """Whether what is put arrives with another byte at its end."""

    def get_over_it(self) -> None:
        """Have a good day again, and forget what was asked."""
        self.refuses, self.spoils = lambda _: False, False
        self.seen.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        self.seen.append(f"{request.method} {request.full_path.rstrip('?')}")
        if self.refuses(request):
            return Response(SLOW_DOWN, 503, content_type="application/xml")(environ, start_response)
        md5 = request.headers.get("Content-MD5")
        if md5 and request.method == "PUT":
            data = request.get_data()
            arrived = data + b"!" if self.spoils else data
            if b64encode(hashlib.md5(arrived).digest()).decode() != md5:
                refusal = b"<Error><Code>BadDigest</Code></Error>"
                return Response(refusal, 400, content_type="application/xml")(environ, start_response)
            environ["wsgi.input"] = io.BytesIO(data)
        return self.app(environ, start_response)


@dataclass
class House:
    """The service, where it is, and a client of ours for it."""

    service: Service
    address: str
    client: Any = None

    def environment(self, prefix: str) -> dict[str, str]:
        """The settings that say where to store."""
        return {
            "STORAGE_URL": f"s3://{BUCKET}/{prefix}",
            "S3_ENDPOINT_URL": self.address,
            "S3_REGION": "eu-central-1",
            "S3_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "S3_SECRET_ACCESS_KEY": "a-secret-of-the-storage",
        }


@contextmanager
def running() -> Iterator[House]:
    """The service on a port of its own, with an empty bucket."""
    service = Service()
    server = make_server("127.0.0.1", 0, service, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        house = House(service, f"http://127.0.0.1:{server.port}")
        said = {name.lower(): value for name, value in house.environment("kept").items()}
        house.client = client(Settings.model_validate({**settings().model_dump(), **said}))
        assert httpx.put(f"{house.address}/{BUCKET}").status_code == 200
        yield house
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
