"""The little HTTP client of the demonstration: standard library only, one method per call of the API it shows."""

from __future__ import annotations

import http.client
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0

JsonObject = dict[str, Any]


class NotThere(Exception):
    """Nothing answers at the address."""


class Refused(Exception):
    """The API answered with a problem; the message is its title and detail."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Message
    body: JsonObject

    @property
    def retry_after(self) -> float:
        """Seconds to wait before asking again, as the server advises."""
        return float(self.headers.get("Retry-After", 1))


class Api:
    """Coinop at `url`, as one user once `signup` was called."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._token: str | None = None
        self._opener = urllib.request.build_opener()
        if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"):
            # A proxy named in the environment is for the way out, not for this machine.
            self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def signup(self, email: str) -> JsonObject:
        answer = self._call("POST", "/v1/auth/signup", {"email": email, "password": secrets.token_urlsafe(18)})
        self._token = answer.body["access_token"]
        return answer.body

    def balance(self, wallet: str) -> int:
        return int(self._call("GET", "/v1/me").body["balances"].get(wallet, {}).get("available", 0))

    def actions(self) -> list[JsonObject]:
        """What is sold, with what it means for the user who has signed up."""
        actions: list[JsonObject] = self._call("GET", "/v1/actions").body["actions"]
        return actions

    def estimate(self, order: JsonObject) -> JsonObject:
        return self._call("POST", "/v1/jobs/estimate", order).body

    def submit(self, order: JsonObject) -> Answer:
        return self._call("POST", "/v1/jobs", order, {"Idempotency-Key": secrets.token_urlsafe(12)})

    def follow(self, submitted: Answer, patience: float, saw: Callable[[int, str], None]) -> JsonObject:
        """Poll a job until it has ended or `patience` seconds have passed; returns it as last seen.

        `saw` is told the HTTP status and the job's status of each answer. Unchanged jobs come as a 304 without a body.
        """
        answer, job, tag = submitted, submitted.body, ""
        deadline = time.monotonic() + patience
        while job["status"] in ("queued", "running", "canceling") and time.monotonic() < deadline:
            time.sleep(answer.retry_after)
            answer = self._call("GET", job["urls"]["get"], headers={"If-None-Match": tag} if tag else {})
            tag = answer.headers.get("ETag", "")
            job = answer.body or job
            saw(answer.status, job["status"])
        return job

    def _call(
        self, method: str, path: str, body: JsonObject | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {})  # noqa: S310
        request.add_header("Accept", "application/json")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return Answer(response.status, response.headers, json.loads(response.read() or b"{}"))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return Answer(304, error.headers, {})
                raise Refused(_explain(error)) from None
        except (OSError, http.client.HTTPException, ValueError):  # ValueError: an answer that is no JSON is not ours
            raise NotThere from None


def _explain(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.loads(error.read())
        return f"{error.code} {problem['title']} ({problem['code']}): {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
