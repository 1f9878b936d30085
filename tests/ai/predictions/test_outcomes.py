"""What goes wrong at a service, as a job is told it: codes that stay, words without secrets."""

from __future__ import annotations

from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from time import sleep
from typing import Any

import pytest
from structlog.testing import capture_logs

from models.kinds import Kind
from tests.ai.predictions.asking import ATTEMPTS, call_for, failure, file, film
from tests.ai.predictions.double import CLIP, KEY, Double
from tests.unit.fake_call import FakeCall
from worker.ai.predictions import PredictionsProvider
from worker.ai.predictions.service import Service
from worker.ai.provider import Canceled, Lost, Refused, Unavailable, Unfinished

WORDS = "a red fox runs"


@pytest.mark.parametrize(
    ("status", "fault", "kind", "code"),
    [
        (400, "{}", Refused, "provider_refused"),
        (401, "{}", Refused, "provider_rejected_key"),
        (402, "{}", Refused, "provider_rejected_key"),
        (403, "{}", Refused, "provider_rejected_key"),
        (404, "{}", Refused, "provider_refused"),
        (422, '{"detail": "duration must be 5 or 8"}', Refused, "provider_refused"),
        (422, '{"detail": "The input was flagged as sensitive. (E005)"}', Refused, "content_filtered"),
        (400, "x" * 1_000_000, Refused, "provider_refused"),
        (408, "{}", Unavailable, "provider_error"),
        (429, "{}", Unavailable, "provider_rate_limited"),
        (500, '{"detail": "flagged"}', Unavailable, "provider_error"),
        (503, "<html>", Unavailable, "provider_error"),
        (302, "{}", Unavailable, "provider_error"),
        (200, "<html>", Unavailable, "provider_error"),
    ],
)
def test_a_create_that_is_turned_away(
    double: Double, provider: PredictionsProvider, status: int, fault: str, kind: type, code: str
) -> None:
    double.plan("", creates=[status], fault=fault, turned_away=True)
    call = film()
    with capture_logs() as logs:
        error = failure(provider, call)
    assert (type(error), error.code, call.begun, len(double.creates)) == (kind, code, [], 1)
    assert WORDS not in error.message
    assert KEY not in error.message
    alarms = [line["event"] for line in logs if line["log_level"] == "error"]
    assert alarms == {401: ["provider_rejected_key"], 402: ["provider_rejected_key"], 403: ["provider_rejected_key"],
                      404: ["model_unknown"]}.get(status, [])  # fmt: skip
    assert WORDS not in str(logs)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("12", 12, 12), ("Fri, 01 Jan 2100 00:00:00 GMT", 3600, 3600), ("Thu, 01 Jan 2015 00:00:00 GMT", 0, 0)],
)
def test_a_service_says_when_to_come_back(
    double: Double, provider: PredictionsProvider, said: str, least: float, most: float
) -> None:
    double.plan("", creates=[429], headers={"Retry-After": said})
    wait = failure(provider, film()).retry_after
    assert wait is not None
    assert least <= wait <= most


@pytest.mark.parametrize("said", ["", "soon", "-3"])
def test_a_time_that_nobody_can_read_is_none(double: Double, provider: PredictionsProvider, said: str) -> None:
    double.plan("", creates=[503], headers={"Retry-After": said})
    assert failure(provider, film()).retry_after is None


def test_a_service_that_is_not_there() -> None:
    nobody = Service("http://127.0.0.1:1/v1", KEY, output_bytes=1024)
    lonely = PredictionsProvider(nobody, output_bytes=1024, attempts=3, attempt_seconds=1)
    error = failure(lonely, film())
    assert (type(error), error.code) == (Unavailable, "provider_unreachable")


def test_a_service_that_does_not_answer(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", holds={"create"})
    error = failure(provider, film(timeout=0.2))
    assert (type(error), error.code) == (Unavailable, "provider_timeout")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("NSFW content detected. Try running it again, or try a different prompt.", Refused, "content_filtered"),
        ("The input or output was flagged as sensitive. (E005)", Refused, "content_filtered"),
        ("Your request was blocked by our content policy.", Refused, "content_filtered"),
        ("output did not pass the safety filter", Refused, "content_filtered"),
        ("CUDA out of memory", Unfinished, "provider_error"),
        ("no such file: model.safetensors (names are case-sensitive)", Unfinished, "provider_error"),
        (None, Unfinished, "provider_error"),
    ],
)
def test_a_prediction_that_fails(
    double: Double, provider: PredictionsProvider, error: str | None, kind: type, code: str
) -> None:
    double.plan("", polls=["processing", "failed"], error=error)
    told = failure(provider, film())
    assert (type(told), told.code) == (kind, code)
    assert told.usage == {"predict_seconds": 2}, "it has worked all the same"
    assert error is None or error not in told.message
    assert double.cancels == [], "it is over"


@pytest.mark.parametrize("status", ["canceled", "aborted"])
def test_a_prediction_that_somebody_stops_at_the_service(
    double: Double, provider: PredictionsProvider, status: str
) -> None:
    double.plan("", polls=[status])
    error = failure(provider, film())
    assert (type(error), error.code) == (Unfinished, "provider_error")


def test_a_state_that_we_do_not_know_is_waited_out(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["queued", "booting", "succeeded"])
    assert file(provider.generate(film())).data == CLIP


def test_passing_trouble_on_the_way_costs_no_attempt(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing", 500, 429, 503, "processing", 502, "succeeded"])
    call = film()
    assert file(provider.generate(call)).data == CLIP
    assert call.pauses[2:5] == [1.0, 2.0, 4.0], "it waits longer each time"
    assert (len(double.creates), double.cancels) == (1, [])


@pytest.mark.parametrize(("polls", "code"), [([500], "provider_error"), ([429], "provider_rate_limited")])
def test_lasting_trouble_ends_the_attempt_and_not_the_prediction(
    double: Double, provider: PredictionsProvider, polls: list[Any], code: str
) -> None:
    double.plan("", polls=polls)
    error = failure(provider, film())
    assert (type(error), error.code) == (Unavailable, code)
    assert (double.predictions["p1"].asked, double.cancels) == (5, [])


def test_nobody_waits_longer_than_there_is_time(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=[429], headers={"Retry-After": "300"})
    call = film()
    error = failure(provider, call)
    assert (type(error), error.code, error.retry_after) == (Unfinished, "provider_timeout", 300)
    error = failure(provider, film(request_id=call.begun[0]))
    assert (type(error), error.code, error.retry_after) == (Unavailable, "provider_rate_limited", 300)
    assert (double.predictions["p1"].asked, len(double.creates)) == (1, 1)


def test_a_key_that_stops_working_on_the_way_ends_the_job(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing", 401])
    assert failure(provider, film()).code == "provider_rejected_key"


def test_a_prediction_that_is_lost_on_the_way(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing", 404])
    error = failure(provider, film())
    assert (type(error), error.code) == (Unfinished, "provider_error")


@pytest.mark.parametrize(("attempt", "stopped"), [(1, []), (ATTEMPTS, ["p1"])])
def test_when_time_is_over_only_the_last_attempt_stops_the_prediction(
    double: Double, provider: PredictionsProvider, attempt: int, stopped: list[str]
) -> None:
    double.plan("", polls=["processing"])
    error = failure(provider, film(timeout=0.3, attempt=attempt))
    assert (type(error), error.code) == (Unfinished, "provider_timeout")
    assert double.cancels == stopped
    assert error.usage == (None if stopped else {}), "the attempt that takes it counts it"


def test_a_user_who_cancels_stops_the_prediction(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing"])
    with pytest.raises(Canceled):
        provider.generate(film(canceled=True))
    assert double.cancels == ["p1"]


def test_that_a_cancel_does_not_get_through_is_only_noted(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing"])

    class Goodbye(FakeCall):
        def pause(self, seconds: float) -> None:
            double.predictions.clear()
            double.refuses = 500
            raise Canceled

    with capture_logs() as logs, pytest.raises(Canceled):
        provider.generate(Goodbye(Kind.video, film().input, model="acme/video-2"))
    assert [line["event"] for line in logs] == ["prediction_not_canceled"]


def test_an_attempt_that_lost_its_job_leaves_the_prediction_alone(
    double: Double, provider: PredictionsProvider
) -> None:
    class Stale(FakeCall):
        def pause(self, seconds: float) -> None:
            raise Lost

    with pytest.raises(Lost):
        provider.generate(Stale(Kind.video, film().input, model="acme/video-2"))
    assert (len(double.creates), double.cancels) == (1, [])


def test_what_it_does_not_do_is_asked_of_nobody(double: Double, provider: PredictionsProvider) -> None:
    assert failure(provider, call_for(Kind.chat)).code == "provider_refused"
    assert failure(provider, call_for(Kind.video, model="mock")).code == "provider_refused"
    assert double.creates == []


@pytest.mark.parametrize("prediction_id", ["", "../account", "a/b", "x" * 300])
def test_an_id_that_is_no_part_of_an_address_is_not_taken(
    double: Double, provider: PredictionsProvider, prediction_id: str
) -> None:
    double.names = prediction_id
    call = film()
    error = failure(provider, call)
    assert (error.code, call.begun) == ("provider_error", [])


def test_a_service_that_never_ends_its_answer_outlives_nobody() -> None:
    class Drip(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 201 Created\r\n")
            with suppress(OSError):
                while True:
                    self.request.sendall(b"X-More: to come\r\n")
                    sleep(0.05)

    with ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        endless = Service(f"http://127.0.0.1:{server.server_address[1]}/v1", KEY, output_bytes=1024)
        asking = PredictionsProvider(endless, output_bytes=1024, attempts=3, attempt_seconds=1)
        error = failure(asking, film(timeout=0.3))
        server.shutdown()
    assert (type(error), error.code) == (Unavailable, "provider_timeout")
