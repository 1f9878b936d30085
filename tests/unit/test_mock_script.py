"""Every outcome of the mock provider that a script can ask for."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.kinds import Kind, parse_input
from tests.unit.fake_call import INPUTS, REQUEST, FakeCall, failure, run, scripted
from worker.ai.provider import Canceled, Refused, Unavailable

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("marker", "code"), [("[mock:fail]", "provider_refused"), ("[mock:filtered]", "content_filtered")]
)
@pytest.mark.parametrize("attempt", [1, 4])
def test_refusals_are_for_good(marker: str, code: str, attempt: int) -> None:
    call = scripted(marker, attempt=attempt)
    error = failure(call)
    assert isinstance(error, Refused)
    assert (error.code, error.retryable) == (code, False)
    assert error.message
    assert call.pauses == [0.2], "a refusal takes its time as an answer does"


@pytest.mark.parametrize(
    ("marker", "attempts", "code"),
    [
        ("[mock:fail-twice]", (1, 2), "provider_unavailable"),
        ("[mock:rate-limited]", (1,), "provider_rate_limited"),
        ("[mock:unavailable]", (1, 2, 3, 9), "provider_unavailable"),
    ],
)
def test_passing_failures_pass(marker: str, attempts: tuple[int, ...], code: str) -> None:
    for attempt in attempts:
        error = failure(scripted(marker, attempt=attempt))
        assert isinstance(error, Unavailable)
        assert (error.code, error.retryable) == (code, True)
        assert error.retry_after == (1 if code == "provider_rate_limited" else None)
    if marker != "[mock:unavailable]":
        assert run(scripted(marker, attempt=len(attempts) + 1)).outputs


def test_work_that_was_turned_away_has_not_begun() -> None:
    call = scripted("[mock:fail-twice]", kind=Kind.video)
    failure(call)
    assert call.begun == []


@pytest.mark.parametrize("latency", [0.0, 0.2])
def test_hang_lasts_until_the_timeout(latency: float) -> None:
    call = scripted("[mock:hang]", timeout=30.0)
    error = failure(call, latency=latency)
    assert isinstance(error, Unavailable)
    assert error.code == "provider_timeout"
    assert sum(call.pauses) == 30.0


def test_stuck_outlasts_the_timeout_tenfold() -> None:
    call = scripted("[mock:stuck]", timeout=30.0)
    assert run(call).outputs
    assert sum(call.pauses) == 300.0


@pytest.mark.parametrize("marker", ["[mock:hang]", "[mock:stuck]", "[mock:fail]", "[mock:unavailable]"])
def test_canceling_ends_every_wait(marker: str) -> None:
    with pytest.raises(Canceled):
        run(scripted(marker, canceled=True))


@pytest.mark.parametrize(("marker", "percent"), [("[mock:overrun]", 250), ("[mock:underrun]", 40)])
def test_more_or_less_than_ordered(marker: str, percent: int) -> None:
    assert run(scripted(marker)).delivered_percent == percent


@pytest.mark.parametrize(
    ("marker", "seconds"),
    [("[mock:latency=2.5]", [2.5]), ("[mock:latency=0]", []), ("[mock:latency=99999]", [600.0])],
)
def test_latency_can_be_chosen(marker: str, seconds: list[float]) -> None:
    call = scripted(marker, timeout=1_000.0)
    run(call)
    assert call.pauses == seconds


def test_markers_combine() -> None:
    call = scripted("[mock:rate-limited] [mock:latency=3] [mock:underrun]")
    assert failure(call).code == "provider_rate_limited"
    assert call.pauses == [3.0]
    call = scripted("[mock:rate-limited] [mock:latency=3] [mock:underrun]", attempt=2)
    assert run(call).delivered_percent == 40
    assert call.pauses == [3.0]


@pytest.mark.parametrize(
    "tail",
    ["[mock:fail].png", "a.png?note=[mock:fail]", "%5Bmock:fail%5D.png", "%5bmock%3afail%5d.png", "a%20[mock:fail]"],
)
@pytest.mark.parametrize("name", ["image_url", "audio_url"])
def test_addresses_carry_markers(name: str, tail: str) -> None:
    raw = {**INPUTS[Kind.lipsync], name: f"https://files.example/{tail}"}
    error = failure(FakeCall(Kind.lipsync, parse_input(Kind.lipsync, raw).stored()))
    assert error.code == "provider_refused"


@pytest.mark.parametrize("tail", ["[mock:latency=2.5].png", "%5Bmock%3Alatency%3D2.5%5D.png"])
def test_addresses_carry_latency(tail: str) -> None:
    raw = {"image_url": f"https://files.example/{tail}"}
    call = FakeCall(Kind.upscale, parse_input(Kind.upscale, raw).stored())
    run(call)
    assert call.pauses == [2.5]


@pytest.mark.parametrize(
    "words", ["[mock:nonsense]", "[mock:]", "mock:fail", "[mock:latency]", "[mock:latency=soon]", "[mock:fail=1]"]
)
def test_other_words_are_ordinary_text(words: str) -> None:
    call = scripted(words)
    assert run(call).delivered_percent == 100
    assert call.pauses == [0.2]


CRASHES = """
import sys
from tests.unit.fake_call import Kind, run, scripted
call = scripted(sys.argv[1], kind=Kind(sys.argv[2]), attempt=int(sys.argv[3]))
call.began = lambda request_id: print("began", request_id, flush=True)
run(call)
print("delivered", call.pauses)
"""


def crash(marker: str, *, kind: Kind = Kind.chat, attempt: int = 1) -> tuple[int, str]:
    """How a process of its own ended, and what it said."""
    program = [sys.executable, "-c", CRASHES, marker, kind, str(attempt)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def test_crash_kills_the_process() -> None:
    assert crash("[mock:crash]", attempt=3) == (-signal.SIGKILL, "")


def test_crash_once_spares_the_second_attempt() -> None:
    assert crash("[mock:crash-once]", kind=Kind.video) == (-signal.SIGKILL, f"began {REQUEST}")
    assert run(scripted("[mock:crash-once]", attempt=2)).outputs


@pytest.mark.parametrize(
    "marker", ["fail", "filtered", "fail-twice", "unavailable", "rate-limited", "hang", "stuck", "overrun", "crash"]
)
def test_without_scripts_a_marker_is_ordinary_text(marker: str) -> None:
    call = scripted(f"[mock:{marker}] [mock:latency=9] [mock:underrun] [mock:crash-once]")
    assert run(call, scripts=False).delivered_percent == 100
    assert call.pauses == [0.2]
