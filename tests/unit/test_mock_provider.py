"""The mock provider: what it makes, how it waits, and when it is chosen."""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from config import BadSettings, Environment, Settings
from models.kinds import Kind
from tests.unit.fake_call import INPUTS, REQUEST, FakeCall, call_for, failure, run
from worker import ai
from worker.ai.mock import REPLIES, MockProvider
from worker.ai.provider import (
    Analysis,
    Artefact,
    Canceled,
    Generation,
    Output,
    ProviderError,
    Refused,
    Text,
    Unavailable,
)
from worker.backends import Offer, offers

ROOT = Path(__file__).resolve().parents[2]
SLOW = (Kind.video, Kind.lipsync)


def only(made: Generation) -> Output:
    (output,) = made.outputs
    return output


def artefact(kind: Kind) -> Artefact:
    output = only(run(call_for(kind)))
    assert isinstance(output, Artefact)
    return output


# What it makes


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_delivered_whole_with_its_usage(kind: Kind) -> None:
    made = run(call_for(kind))
    assert made.delivered_percent == 100
    assert made.request_id == REQUEST
    assert made.usage
    assert all(type(amount) is int and amount > 0 for amount in made.usage.values())


def analysis(**options: Any) -> Analysis:
    output = only(run(chat_with(**options)))
    assert isinstance(output, Analysis)
    return output


def chat_with(**options: Any) -> FakeCall:
    values = call_for(Kind.chat).input
    return FakeCall(Kind.chat, {**values, "options": options} if options else values)


def test_chat_analyses_and_suggests_three_replies() -> None:
    output = analysis()
    assert output.summary == f"The tone is {output.tone} and the message {output.intent}; {output.advice}."
    assert len(output.summary.split()) > 8
    assert len(set(output.suggestions)) == len(output.suggestions) == 3
    assert analysis(depth="short", replies=3) == output, "which is what an action has that says nothing"


@pytest.mark.parametrize("replies", range(1, 11))
def test_the_action_says_how_many_replies(replies: int) -> None:
    suggestions = analysis(depth="short", replies=replies).suggestions
    assert len(set(suggestions)) == len(suggestions) == replies
    assert suggestions == analysis(depth="short", replies=10).suggestions[:replies]


def test_a_long_analysis_says_the_same_and_more() -> None:
    short, long = (run(chat_with(depth=depth, replies=3)) for depth in ("short", "long"))
    assert only(long) == analysis(depth="long", replies=3)
    said, more = analysis(depth="short", replies=3), analysis(depth="long", replies=3)
    assert more.summary.startswith(f"{said.summary} ")
    assert more.summary.count(". ") >= 3
    assert (more.tone, more.intent, more.advice, more.suggestions) == (
        said.tone, said.intent, said.advice, said.suggestions,
    )  # fmt: skip
    assert long.usage["input_tokens"] == short.usage["input_tokens"]
    assert long.usage["output_tokens"] > short.usage["output_tokens"]


def test_vision_describes() -> None:
    output = only(run(call_for(Kind.vision)))
    assert isinstance(output, Text)
    assert output.text.startswith("The picture shows ")


@pytest.mark.parametrize(
    ("kind", "size"), [(Kind.image, (1024, 1536)), (Kind.image_edit, (512, 512)), (Kind.upscale, (512, 512))]
)
def test_pictures_have_their_size(kind: Kind, size: tuple[int, int]) -> None:
    made = artefact(kind)
    assert made.media_type == "image/png"
    assert made.data.startswith(b"\x89PNG")
    assert struct.unpack_from(">II", made.data, 16) == size


def test_speech_and_clips_are_sound_and_video() -> None:
    speech, video, lipsync = artefact(Kind.speech), artefact(Kind.video), artefact(Kind.lipsync)
    assert (speech.media_type, speech.data[:4], speech.data[8:12]) == ("audio/wav", b"RIFF", b"WAVE")
    assert (video.media_type, video.data[4:8]) == ("video/mp4", b"ftyp")
    assert (lipsync.media_type, lipsync.data[4:8]) == ("video/mp4", b"ftyp")


def test_usage_is_what_was_ordered() -> None:
    assert run(call_for(Kind.video)).usage == {"seconds": 3}
    assert run(call_for(Kind.lipsync)).usage == {"seconds": 10}
    assert run(FakeCall(Kind.lipsync, {**call_for(Kind.lipsync).input, "seconds": 25})).usage == {"seconds": 25}
    assert run(call_for(Kind.image)).usage == {"images": 1}
    assert run(call_for(Kind.speech)).usage == {"characters": 52, "seconds": 4}
    assert set(run(call_for(Kind.chat)).usage) == {"input_tokens", "output_tokens"}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_input_decides_the_output(kind: Kind) -> None:
    base = run(call_for(kind), scripts=False)
    again = run(call_for(kind, attempt=3, job_id=UUID(int=7)), scripts=True)
    assert again.outputs == base.outputs
    backwards = FakeCall(kind, dict(reversed(list(call_for(kind).input.items()))))
    assert run(backwards).outputs == base.outputs, "the order of the input's fields means nothing"
    name = next(iter(INPUTS[kind]))
    others = (FakeCall(kind, {**call_for(kind).input, name: f"https://other.example/{n}"}) for n in range(5))
    assert any(run(other).outputs != base.outputs for other in others)


def test_half_a_surrogate_pair_is_no_obstacle() -> None:
    assert run(FakeCall("chat", {"prompt": "\ud83d"})).outputs


def test_no_two_replies_are_alike() -> None:
    known = [reply for group in REPLIES for reply in group]
    assert len(set(known)) == len(known) >= 10


def test_outputs_are_the_same_in_every_process() -> None:
    program = "from tests.unit.test_mock_provider import fingerprint; print(fingerprint())"
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout.strip())
    assert seen == {fingerprint()}


def fingerprint() -> str:
    """One digest over the outputs of all kinds."""
    digest = hashlib.sha256()
    for kind in Kind:
        digest.update(repr(run(call_for(kind)).outputs).encode())
    return digest.hexdigest()


def test_many_threads_share_one_provider() -> None:
    provider = MockProvider(0.0, True)
    expected = {kind: run(call_for(kind)).outputs for kind in Kind}
    kinds = list(Kind) * 8
    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(lambda kind: provider.generate(call_for(kind)), kinds))
    assert [generation.outputs for generation in made] == [expected[kind] for kind in kinds]


def test_an_unknown_kind_is_refused() -> None:
    error = failure(FakeCall("divination", {}))
    assert isinstance(error, Refused)
    assert error.code == "provider_refused"


# How it waits


@pytest.mark.parametrize("kind", list(Kind))
def test_it_waits_its_latency_by_pausing(kind: Kind) -> None:
    call = call_for(kind)
    run(call, latency=0.7)
    assert call.pauses == [0.7]


@pytest.mark.parametrize("kind", list(Kind))
def test_no_latency_means_no_pause(kind: Kind) -> None:
    call = call_for(kind)
    run(call, latency=0.0)
    assert call.pauses == []


@pytest.mark.parametrize("kind", list(Kind))
def test_canceling_ends_the_wait(kind: Kind) -> None:
    with pytest.raises(Canceled):
        run(call_for(kind, canceled=True))


def test_it_gives_up_at_its_timeout() -> None:
    call = call_for(Kind.chat, timeout=5.0)
    error = failure(call, latency=6.0)
    assert isinstance(error, Unavailable)
    assert error.code == "provider_timeout"
    assert call.pauses == [5.0]


@pytest.mark.parametrize("kind", list(Kind))
def test_only_slow_work_is_announced(kind: Kind) -> None:
    call = call_for(kind)
    run(call)
    assert call.begun == ([REQUEST] if kind in SLOW else [])


@pytest.mark.parametrize("kind", SLOW)
def test_work_already_begun_is_resumed(kind: Kind) -> None:
    call = call_for(kind, attempt=2, request_id="mock_earlier")
    made = run(call)
    assert call.begun == []
    assert made.request_id == "mock_earlier"


# Which provider does a job


KEYS = secrets.token_urlsafe(48), secrets.token_urlsafe(48)


def settings(**values: Any) -> Settings:
    return Settings(secret_key=SecretStr(KEYS[0]), jwt_secret_key=SecretStr(KEYS[1]), **values)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_mock_does_every_kind(kind: Kind) -> None:
    chosen = settings(mock_latency_seconds=1.5)
    assert offers(chosen)[kind] == Offer("mock", "mock")
    provider = ai.provider("mock", chosen)
    assert isinstance(provider, MockProvider)
    assert provider.latency == 1.5


def test_scripts_are_for_development_only() -> None:
    prompt = {"prompt": "[mock:fail]"}
    assert failure_of(Environment.development, prompt) == "provider_refused"
    assert failure_of(Environment.production, prompt) is None


def failure_of(environment: Environment, values: dict[str, Any]) -> str | None:
    chosen = settings(coinop_env=environment, smtp_url="console:", payments_mode="mock")
    provider = ai.provider("mock", chosen)
    try:
        provider.generate(FakeCall("chat", values))
    except ProviderError as error:
        return error.code
    return None


def test_a_provider_is_made_once_for_all_threads() -> None:
    chosen, together = settings(mock_latency_seconds=0.123), threading.Barrier(8)

    def choose(_: int) -> int:
        together.wait(timeout=10)
        return id(ai.provider("mock", chosen))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(choose, range(8)))) == 1


def test_a_kind_that_is_given_to_nobody_is_not_offered() -> None:
    offered = offers(settings(ai_providers="video=none, image=mock"))
    assert set(offered) == set(Kind) - {Kind.video}


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ("divination=mock", "there is no kind 'divination'"),
        ("video=oracle", "there is no provider 'oracle' for video; expected one of mock"),
    ],
)
def test_a_wish_that_nobody_can_fulfil_stops_the_boot(wishes: str, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        offers(settings(ai_providers=wishes))
