"""The protocol of prediction services: create, get, cancel, and files to begin with.

The key goes to the address of the settings and to no other: addresses that come with an answer are never followed here,
as those of predictions can be told from their ids.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx2
import structlog
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from config.predictions import PREDICTIONS_MODEL
from models.pictures import Picture
from worker.ai.provider import ProviderError, Refused, Unavailable
from worker.ai.watching import keeping_to, watched_client
from worker.fetching import AROUND_A_BODY, Deadline

log = structlog.get_logger(__name__)

ASK_SECONDS = 60.0
"""How long asking or ordering may take: that may include finding a machine, and a picture goes along."""

MOST_ANSWER_BYTES = 1024 * 1024
"""Of an answer about a prediction, beyond the outputs that may be in it."""

MOST_FAULT_BYTES = 16 * 1024
"""Of an answer that says what is wrong; more is not read."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds; a job is not parked for longer because a header says so."""

FILTERED = re.compile(
    r"nsfw|\bE005\b|(?<!case[ -])sensitive|flagged|moderation|moderated|inappropriate|"
    r"content[ _-]?(?:policy|policies|filter|violation)|safety[ _-]?(?:check|filter|system|polic)",
    re.IGNORECASE,
)
"""How services say that words, pictures or what was made of them will not do. There is no code for it."""

OVER = frozenset(("succeeded", "failed", "canceled", "aborted"))

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
"""It becomes part of an address."""


class _Metrics(BaseModel):
    predict_time: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class _Said(BaseModel):
    """What a service says of a prediction, as far as we look at it."""

    id: Id
    status: str
    output: Any = None
    error: Any = None
    metrics: _Metrics | None = None
    data_removed: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """`status` is the service's word; `seconds` how long the model worked; `retry_after` when to ask again, if said."""

    id: str
    status: str
    output: Any
    seconds: float | None
    filtered: bool
    data_removed: bool
    retry_after: float | None

    @property
    def over(self) -> bool:
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class TooMuch(Exception):
    """More bytes came than may come."""


class Patience:
    """How long a request may still take, and how much it may bring in; whether a user cancels is not its business: what
    has been ordered must be known by its id before it can be stopped."""

    def __init__(self, within: Deadline, most_bytes: int) -> None:
        self._within = within
        self._room = most_bytes + AROUND_A_BODY

    def left(self, most: float) -> float:
        return self._within.left(most)

    def came(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise TooMuch


class Service:
    """One prediction service. Any number of threads share it."""

    def __init__(self, url: str, key: str, *, output_bytes: int) -> None:
        self.url = url
        # What is inline comes in base64.
        self._most_bytes = output_bytes * 4 // 3 + MOST_ANSWER_BYTES
        self._http = watched_client()
        self._http.headers.update(
            {"Authorization": f"Bearer {key}", "User-Agent": "Coinop", "Accept-Encoding": "identity"}
        )

    def create(
        self, model: str, values: Mapping[str, Any], *, key: str, cancel_after: float, within: Deadline
    ) -> Prediction:
        """Have `model` begin with these inputs. `key` stands for the work: a service that looks at it begins it once.

        After `cancel_after` seconds nobody waits any more, and a service that listens stops by itself. Raises
        `ProviderError`.
        """
        named = PREDICTIONS_MODEL.fullmatch(model)
        if named is None:
            raise _no_such_model(model)
        if version := named["version"]:
            path, body = "/predictions", {"version": version, "input": values}
        else:
            path, body = f"/models/{named['owner']}/{named['name']}/predictions", {"input": values}
        headers = {"Idempotency-Key": key, "Cancel-After": f"{max(5, round(cancel_after))}s"}
        answer = self._ask("POST", path, within, headers=headers, json=body)
        if answer.status == 404:
            raise _no_such_model(model)
        return _read(checked(answer))

    def get(self, prediction_id: str, *, within: Deadline) -> Prediction | None:
        """The prediction as it is now, or None when the service does not know it. Raises `ProviderError`."""
        answer = self._ask("GET", f"/predictions/{prediction_id}", within)
        return None if answer.status in (404, 410) else _read(checked(answer))

    def cancel(self, prediction_id: str, *, within: Deadline) -> None:
        """Stop a prediction; one that is over or unknown needs no stopping. Raises `ProviderError`."""
        answer = self._ask("POST", f"/predictions/{prediction_id}/cancel", within)
        if answer.status not in (404, 409, 410, 422):
            checked(answer)

    def bring(self, picture: Picture, *, within: Deadline) -> str | None:
        """Where the service has this picture from now on, or None if it takes no files. Raises `ProviderError`."""
        name = f"picture.{picture.media_type.partition('/')[2]}"
        files = {"content": (name, picture.data, picture.media_type)}
        answer = self._ask("POST", "/files", within, files=files)
        if answer.status in (404, 405, 501):
            return None
        try:
            return _File.model_validate_json(checked(answer).body).urls.get
        except ValidationError:
            raise _gibberish() from None

    def has(self, url: str) -> bool:
        """Whether an address is of the service itself, which is trusted with the key."""
        return _origin(url) == _origin(self.url)

    def download(self, url: str, *, most_bytes: int, within: Deadline) -> Answer:
        """What the service itself answers at an address of its own (`has`). Raises `TooMuch` and `ProviderError`."""
        return self._send("GET", url, within, most_bytes)

    def _ask(self, method: str, path: str, within: Deadline, **how: Any) -> Answer:
        try:
            soon = Deadline(within.left(ASK_SECONDS))
            return self._send(method, self.url + path, soon, self._most_bytes, **how)
        except TooMuch:
            raise Refused("bad_answer", "The provider's answer is too large.") from None
        except TimeoutError:
            raise _too_late() from None

    def _send(self, method: str, url: str, within: Deadline, most_bytes: int, **how: Any) -> Answer:
        try:
            with (
                keeping_to(Patience(within, most_bytes)),
                closing(self._http.send(self._http.build_request(method, url, **how), stream=True)) as response,
            ):
                fine = response.status_code < 400
                body = _body(response, most_bytes if fine else MOST_FAULT_BYTES, cut=not fine)
                return Answer(response.status_code, response.headers, body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise Unavailable("provider_unreachable", "The provider cannot be reached.") from None
        except (TimeoutError, httpx2.TimeoutException):
            raise _too_late() from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise Unavailable("provider_unreachable", "The connection to the provider broke.") from None


def _no_such_model(model: str) -> Refused:
    """For a name that the settings or an action got wrong: nobody's jobs will work with it."""
    log.error("model_unknown", provider="predictions", model=model)
    return Refused("provider_refused", "The provider has no such model.")


def checked(answer: Answer) -> Answer:
    """The answer if it is one to what was asked. Raises `ProviderError`."""
    if 200 <= answer.status < 300:
        return answer
    if answer.status in (401, 402, 403):
        log.error("provider_rejected_key", provider="predictions", status=answer.status)
    raise _fault(answer)


class _Urls(BaseModel):
    get: Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://")]


class _File(BaseModel):
    urls: _Urls


def as_data_url(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usual: dict[str, Literal[443, 80]] = {"https": 443, "http": 80}
    return parts.scheme, parts.hostname or "", port or usual.get(parts.scheme)


def _body(response: httpx2.Response, most_bytes: int, *, cut: bool) -> bytes:
    """What comes, `most_bytes` at most: the rest is cut off or too much."""
    data = bytearray()
    for piece in response.iter_bytes():
        data += piece
        if len(data) > most_bytes:
            if cut:
                break
            raise TooMuch
    return bytes(data)


def _too_late() -> Unavailable:
    return Unavailable("provider_timeout", "The provider did not answer in time.")


def _read(answer: Answer) -> Prediction:
    try:
        said = _Said.model_validate(json.loads(answer.body))
    except (ValueError, RecursionError):
        raise _gibberish() from None
    return Prediction(
        said.id,
        said.status,
        said.output,
        said.metrics.predict_time if said.metrics else None,
        bool(said.error) and FILTERED.search(str(said.error)) is not None,
        said.data_removed,
        _retry_after(answer.headers),
    )


def _gibberish() -> Unavailable:
    """For answers in no words of the protocol, such as the pages of proxies: another time may be better."""
    return Unavailable("provider_error", "The provider's answer could not be read.")


def _fault(answer: Answer) -> ProviderError:
    status, wait = answer.status, _retry_after(answer.headers)
    if status == 429:
        return Unavailable("provider_rate_limited", "The provider has too many requests.", retry_after=wait)
    if status in (401, 402, 403):
        return Refused("provider_rejected_key", "The provider does not accept our account.")
    if status in (408, 409, 425) or not 400 <= status < 500:
        return Unavailable("provider_error", f"The provider answers {status}.", retry_after=wait)
    if FILTERED.search(answer.body.decode(errors="replace")):
        return Refused("content_filtered", "The provider's content filter refused this request.")
    return Refused("provider_refused", "The provider refused this request.")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as the header says them or as the time until its date."""
    said = headers.get("Retry-After", "").strip()
    if not said:
        return None
    try:
        seconds = float(said) if said.isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
