"""What the settings and a preset may say of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from config import BadSettings, Settings, settings
from models.kinds import Kind, parse_options
from tests.ai.predictions.double import KEY
from worker import ai
from worker.ai.predictions import PredictionsProvider
from worker.backends import Offer, offers

Choose = Callable[..., Settings]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    def make(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return settings()

    yield make
    monkeypatch.undo()
    settings.cache_clear()


def test_a_model_for_each_kind(choose: Choose) -> None:
    wishes = "video=predictions:acme/video-2, upscale=predictions:acme/larger:0a1b"
    chosen = choose(AI_PROVIDERS=wishes, PREDICTIONS_API_KEY=KEY)
    assert chosen.predictions_url == "https://api.replicate.com/v1"
    offered = offers(chosen)
    assert offered[Kind.video] == Offer("predictions", "acme/video-2")
    assert offered[Kind.upscale] == Offer("predictions", "acme/larger:0a1b")
    assert offered[Kind.chat].provider == "mock"
    assert isinstance(ai.provider("predictions", chosen), PredictionsProvider)
    assert KEY not in repr(chosen)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AI_PROVIDERS": "video=predictions:acme/video-2"}, "PREDICTIONS_API_KEY: required"),
        ({"AI_PROVIDERS": "video=predictions:acme/video-2", "PREDICTIONS_API_KEY": " "}, "PREDICTIONS_API_KEY"),
        ({"AI_PROVIDERS": "video=predictions:video-2", "PREDICTIONS_API_KEY": KEY}, "AI_PROVIDERS: expected video="),
        ({"AI_PROVIDERS": "video=predictions:../..", "PREDICTIONS_API_KEY": KEY}, "owner/name"),
        ({"AI_PROVIDERS": "video=predictions:a/b/predictions", "PREDICTIONS_API_KEY": KEY}, "owner/name"),
        ({"AI_PROVIDERS": "video=predictions:a/b:c:d", "PREDICTIONS_API_KEY": KEY}, "owner/name"),
        ({"PREDICTIONS_URL": "http://service.example/v1"}, "PREDICTIONS_URL: expected https"),
        ({"PREDICTIONS_URL": "https://user@service.example/v1"}, "PREDICTIONS_URL"),
        ({"PREDICTIONS_URL": "https://service.example/v1?key=1"}, "PREDICTIONS_URL"),
        ({"PREDICTIONS_OUTPUT_BYTES": "0"}, "PREDICTIONS_OUTPUT_BYTES"),
    ],
)
def test_what_cannot_work_stops_the_boot(choose: Choose, variables: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        choose(**variables)
    assert said in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("wish", "said"),
    [("video=predictions", "expected video=predictions:model"), ("chat=predictions:acme/words", "does not do chat")],
)
def test_what_nobody_can_do_is_said(choose: Choose, wish: str, said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        offers(choose(AI_PROVIDERS=wish, PREDICTIONS_API_KEY=KEY))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Kind.video, {"inputs": {"image": "picture"}}),
        (Kind.video, {"inputs": {"seconds": "two words"}}),
        (Kind.video, {"fixed": {"": 1}}),
        (Kind.video, {"fixed": {"fps": [24]}}),
        (Kind.video, {"fixed": {"fps": float("inf")}}),
        (Kind.upscale, {"inputs": {"prompt": "prompt"}}),
        (Kind.chat, {"inputs": {"prompt": "text"}}),
    ],
    ids=str,
)
def test_an_action_can_only_name_what_there_is(kind: Kind, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_options(kind, options)


def test_an_action_that_says_nothing_adds_nothing_to_its_jobs() -> None:
    assert [parse_options(kind, {}) for kind in (Kind.video, Kind.lipsync, Kind.upscale, Kind.image_edit)] == [{}] * 4
    said = {"inputs": {"seconds": "length", "resolution": ""}, "fixed": {"fps": 24, "loop": False, "style": "noir"}}
    assert parse_options(Kind.video, said) == said
