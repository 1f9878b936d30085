"""What a service gives, and where we go for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from models.kinds import Kind
from tests.ai.predictions.asking import LIMIT, call_for, failure, file, film
from tests.ai.predictions.double import CLIP, KEY, PICTURE, Double
from tests.uploads.servers import NAME, Guide, Server, answer, authority, saying
from worker.ai.predictions import PredictionsProvider
from worker.ai.predictions.outputs import Gone
from worker.ai.provider import Artefact, Refused, Unavailable

URL = f"https://{NAME}/made/1.mp4"


@pytest.fixture
def guide(tmp_path: Path) -> Iterator[Guide]:
    """Who leads to a server that is not the service's, whatever public address is to be fetched."""
    ca, authorities = authority(tmp_path)
    with Server(saying(answer(CLIP)), ca.issue_cert(NAME)).running() as server:
        made = Guide(server, authorities)
        with mock.patch("worker.fetching.way_out", return_value=made.way):
            yield made


@pytest.mark.parametrize("output", ["{url}", ["{url}"], "{data}", ["{data}"]], ids=str)
def test_one_file_however_it_is_given(double: Double, provider: PredictionsProvider, output: Any) -> None:
    double.plan("", output=output)
    assert file(provider.generate(film())).data == CLIP


def test_several_files(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", output=["{url}", "{data}", "{url}"])
    made = provider.generate(call_for(Kind.image, model="acme/picture"))
    assert made.outputs == (Artefact("image/png", PICTURE),) * 3
    assert made.usage == {"images": 3, "predict_seconds": 2}


@pytest.mark.parametrize(
    "output",
    [7, {"video": "{url}"}, [], ["{url}", None], ["{url}"] * 11, "", "soon", "ftp://made.example/1", "data:;base64,x",
     "http://made.example/1.mp4", "https://127.0.0.1/1.mp4", "https://metadata.internal/1.mp4", "https://[::1]:x/1"],
    ids=str,
)  # fmt: skip
def test_what_is_no_output_is_a_bad_answer(double: Double, provider: PredictionsProvider, output: Any) -> None:
    double.plan("", output=output)
    error = failure(provider, film())
    assert (type(error), error.code) == (Refused, "bad_answer")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\0\0\0\x18ftypisom\0\0", "video/mp4"),
        (b"\0\0\0\x18ftypqt  \0\0", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
    ],
)
def test_a_file_is_what_it_begins_like(
    double: Double, provider: PredictionsProvider, data: bytes, media_type: str
) -> None:
    double.plan("", made=data)
    assert file(provider.generate(film())).media_type == media_type


@pytest.mark.parametrize("data", [b"<html>no</html>", PICTURE, b"\0\0\0\x18ftypavif\0\0", b"MZ", b" "], ids=str)
def test_a_file_of_another_kind_is_a_bad_answer(double: Double, provider: PredictionsProvider, data: bytes) -> None:
    double.plan("", made=data)
    error = failure(provider, film())
    assert (type(error), error.code) == (Refused, "bad_answer")


@pytest.mark.parametrize("output", ["{url}", "{data}", ["{url}"] * 2], ids=str)
def test_no_more_is_taken_than_one_job_may_make(double: Double, provider: PredictionsProvider, output: Any) -> None:
    double.plan("", output=output, made=CLIP.ljust(LIMIT + 1 if isinstance(output, str) else LIMIT // 2 + 1, b"\0"))
    error = failure(provider, film())
    assert (type(error), error.code) == (Refused, "bad_answer")
    assert "large" in error.message
    assert error.usage == {"seconds": 3, "predict_seconds": 2}, "it has been made all the same"


def test_an_answer_without_end_is_not_read_to_it(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", output="x" * (LIMIT * 4 // 3 + 2 * 1024 * 1024))
    assert failure(provider, film()).code == "bad_answer"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(404, Gone, "provider_error"), (500, Unavailable, "provider_error"),
     (429, Unavailable, "provider_rate_limited"), (400, Refused, "provider_refused")],
)  # fmt: skip
def test_a_file_that_is_not_given(
    double: Double, provider: PredictionsProvider, status: int, kind: type, code: str
) -> None:
    double.plan("", downloads=[status])
    error = failure(provider, film())
    assert (type(error), error.code) == (kind, code)


def test_elsewhere_goes_the_safe_client_without_our_key(
    double: Double, provider: PredictionsProvider, guide: Guide
) -> None:
    double.plan("", output=URL)
    assert file(provider.generate(film())).data == CLIP
    assert guide.server.paths == ["/made/1.mp4"]
    [headers] = guide.server.headers
    assert headers["accept"] == "*/*"
    assert KEY not in str(headers)


def test_the_service_may_send_us_elsewhere(double: Double, provider: PredictionsProvider, guide: Guide) -> None:
    double.plan("", downloads=[302], headers={"Location": URL})
    assert file(provider.generate(film())).data == CLIP
    assert KEY not in str(guide.server.headers)
    double.plan("", downloads=[302], headers={"Location": "http://169.254.169.254/"})
    assert failure(provider, film(job_id=uuid4())).code == "bad_answer"


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (answer(status="404 Not Found"), Gone, "provider_error"),
        (answer(status="503 Later"), Unavailable, "provider_unreachable"),
        (answer(bytes(LIMIT + 1)), Refused, "bad_answer"),
    ],
    ids=["gone", "later", "large"],
)
def test_a_file_elsewhere_that_is_not_given(
    double: Double, provider: PredictionsProvider, guide: Guide, said: bytes, kind: type, code: str
) -> None:
    guide.server.script = saying(said)
    double.plan("", output=URL)
    error = failure(provider, film())
    assert (type(error), error.code) == (kind, code)
    assert "picture" not in error.message


def test_a_name_that_leads_inside_is_not_followed(double: Double, provider: PredictionsProvider, guide: Guide) -> None:
    guide.names[NAME] = [["10.0.0.1"]]
    double.plan("", output=URL)
    assert failure(provider, film()).code == "bad_answer"
    assert guide.server.connections == 0
