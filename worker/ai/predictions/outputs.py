"""From what a service gives to files.

An output is an address, a data URL, or a list of these. What is at an address of the service itself is asked of it,
with the key; every other address is somebody's word, and fetched like one that a user named. What comes must begin as
files of its kind do, whatever it is said to be.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin

from models.kinds import Kind
from worker.ai.predictions.service import Service, TooMuch, checked
from worker.ai.provider import Artefact, Refused, Unavailable, Unfinished
from worker.fetching import Deadline, fetch

MOST_OUTPUTS = 10

FETCH_SECONDS = 300.0
"""The longest that one file may take, though the time of the attempt will be over sooner."""

FAMILY: dict[str, str] = {
    Kind.video: "video",
    Kind.lipsync: "video",
    Kind.upscale: "image",
    Kind.image: "image",
    Kind.image_edit: "image",
}
"""What a kind makes."""

BEGINNINGS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"....ftypqt  ", re.DOTALL), "video/quicktime"),
    (re.compile(rb"....ftyp(?!avi[fs]|hei|mif1|msf1)", re.DOTALL), "video/mp4"),
    (re.compile(rb"\x1a\x45\xdf\xa3.{0,60}webm", re.DOTALL), "video/webm"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
)
"""How files begin, and their types."""

GONE = frozenset((401, 403, 404, 410))
"""What storages answer once an address has run out."""

_DATA_URL = re.compile(r"data:[^,]{0,200},", re.ASCII)


class Gone(Unfinished):
    """What the service made is not there any more: it must be made again."""

    def __init__(self) -> None:
        super().__init__("provider_error", "What the provider made is not there any more.")


def take(service: Service, kind: str, output: Any, *, most_bytes: int, within: Deadline) -> tuple[Artefact, ...]:
    """The files that an output comes to, `most_bytes` at most together.

    Raises `Gone`; `Refused` with `bad_answer` when the output is none, or not of its kind; `Unavailable`.
    """
    made: list[Artefact] = []
    left = most_bytes
    for url in _addresses(output):
        data = _bytes(service, url, left, within)
        made.append(Artefact(_media_type(kind, data), data))
        left -= len(data)
    return tuple(made)


def _addresses(output: Any) -> list[str]:
    given = output if isinstance(output, list) else [output]
    if not given or len(given) > MOST_OUTPUTS or not all(isinstance(each, str) for each in given):
        raise _bad("is not one we can read")
    return given


def _bytes(service: Service, url: str, most_bytes: int, within: Deadline) -> bytes:
    try:
        if header := _DATA_URL.match(url):
            return _inline(header[0], url[header.end() :], most_bytes)
        if not service.has(url):
            return _fetched(url, most_bytes, within)
        answer = service.download(url, most_bytes=most_bytes, within=within)
    except TooMuch:
        raise _bad("is too large") from None
    if answer.status in GONE:
        raise Gone
    if 300 <= answer.status < 400:
        return _fetched(urljoin(url, answer.headers.get("Location", "")), most_bytes, within)
    return checked(answer).body


def _inline(header: str, rest: str, most_bytes: int) -> bytes:
    try:
        packed = header.endswith(";base64,")
        data = base64.b64decode(unquote_to_bytes(rest), validate=True) if packed else unquote_to_bytes(rest)
    except binascii.Error:
        raise _bad("is not one we can read") from None
    if len(data) > most_bytes:
        raise TooMuch
    return data


def _fetched(url: str, most_bytes: int, within: Deadline) -> bytes:
    """What is at an address that is not the service's own, fetched as safely as one that a user named."""
    try:
        return fetch(url, most_bytes=most_bytes, seconds=within.left(FETCH_SECONDS), accept="*/*")
    except TimeoutError:
        raise Unavailable("provider_timeout", "The provider did not answer in time.") from None
    except Refused as error:
        if error.code == "image_unavailable":
            raise Gone from None
        raise _bad("is at an address where we do not go, or too large") from None
    except Unavailable:
        raise Unavailable("provider_unreachable", "What the provider made could not be fetched.") from None


def _media_type(kind: str, data: bytes) -> str:
    for beginning, media_type in BEGINNINGS:
        if beginning.match(data) and media_type.startswith(FAMILY[kind]):
            return media_type
    raise _bad(f"is no {FAMILY[kind]}")


def _bad(why: str) -> Refused:
    return Refused("bad_answer", f"The provider's output {why}.")
