"""How long films are, by their own words."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ai.predictions.asking import file, film
from tests.ai.predictions.double import Double
from worker.ai.artefacts import mp4_clip
from worker.ai.predictions import PredictionsProvider
from worker.ai.predictions.lengths import seconds_of

SEED = bytes(range(32))


def box(name: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return pack(">I4s", 8 + len(body), name) + body


def said(scale: int, units: int) -> bytes:
    return box(b"mvhd", pack(">IIIII", 0, 0, 0, scale, units), bytes(80))


def said_widely(scale: int, units: int) -> bytes:
    return box(b"mvhd", pack(">IQQIQ", 1 << 24, 0, 0, scale, units), bytes(80))


FTYP = box(b"ftyp", b"isom", bytes(4))


@pytest.mark.parametrize("seconds", [1, 2, 5])
def test_films_of_the_mock(seconds: int) -> None:
    assert seconds_of(mp4_clip(SEED, seconds)) == seconds


@pytest.mark.parametrize(
    ("film", "seconds"),
    [
        (FTYP + box(b"moov", said(600, 3_024)), 5),
        (FTYP + box(b"moov", said(600, 60)), 1),
        (FTYP + box(b"moov", said_widely(90_000, 720_000)), 8),
        (FTYP + box(b"mdat", bytes(500)) + box(b"moov", box(b"udta", bytes(9)), said(24, 96)), 4),
        (FTYP + pack(">I4sQ", 1, b"mdat", 116) + bytes(100) + box(b"moov", said(24, 96)), 4),
        (FTYP + pack(">I4s", 0, b"moov") + said(24, 96), 4),
        (FTYP + box(b"moov", said(0, 96)), None),
        (FTYP + box(b"moov", said(24, 0)), None),
        (FTYP + box(b"moov", said(1, 0xFFFFFFFF)), None),
        (FTYP + box(b"moov", box(b"mvhd", bytes(3))), None),
        (FTYP + box(b"moov", box(b"mvhd")), None),
        (FTYP + box(b"moov"), None),
        (FTYP + pack(">I4s", 4, b"moov"), None),
        (FTYP, None),
        (b"\x1a\x45\xdf\xa3webm", None),
        (b"", None),
    ],
)
def test_what_a_film_says(film: bytes, seconds: int | None) -> None:
    assert seconds_of(film) == seconds


@given(st.binary(max_size=200), st.integers(0, 150))
def test_no_bytes_do_harm(noise: bytes, cut: int) -> None:
    whole = FTYP + box(b"moov", said_widely(24, 96))
    for data in (noise, FTYP + noise, whole[:cut] + noise, whole[:cut]):
        assert seconds_of(data) is None or seconds_of(data) in range(1, 86_401)


def test_what_was_really_made_is_told(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", made=mp4_clip(SEED, 2))
    made = provider.generate(film())
    assert (made.usage["seconds"], file(made).media_type) == (2, "video/mp4")
    double.plan("", made=FTYP)
    assert provider.generate(film(request_id="predictions:none")).usage["seconds"] == 3
    double.plan("", output=["{url}"] * 2, made=mp4_clip(SEED, 2))
    assert provider.generate(film(request_id="predictions:nothing")).usage["seconds"] == 4
