"""What a service is asked, and what is made of what it says when all goes well."""

from __future__ import annotations

import base64
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from models.kinds import Kind
from tests.ai.predictions.asking import call_for, file, film
from tests.ai.predictions.double import CLIP, PICTURE, Double
from tests.unit.fake_call import JOB
from tests.uploads.drawings import save
from worker.ai.predictions import PredictionsProvider
from worker.decoding import examine


def test_a_film_is_ordered_waited_for_and_brought(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["starting", "processing", "processing", "succeeded"])
    call = film()
    made = provider.generate(call)
    assert (file(made).media_type, file(made).data) == ("video/mp4", CLIP)
    assert made.usage == {"seconds": 1, "predict_seconds": 2}
    assert ([made.request_id], call.begun) == (["predictions:p1"], ["predictions:p1"])
    [asked] = double.creates
    assert asked["path"] == "/v1/models/acme/video-2/predictions"
    assert asked["input"] == {"prompt": "a red fox runs", "duration": 3, "resolution": "720p"}
    assert (asked["key"], asked["cancel_after"]) == (str(JOB), "300s")
    assert call.pauses == [0.5, 0.5 * 1.5, 0.5 * 1.5**2, 0.5 * 1.5**3]
    assert (double.cancels, double.strangers) == ([], 0)


def test_a_prediction_that_is_over_at_once_is_not_asked_for(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", output="{data}", creates=[200], begins="succeeded")
    call = film()
    assert file(provider.generate(call)).data == CLIP
    assert (call.pauses, double.predictions["p1"].asked) == ([], 0)


def test_a_version_is_ordered_by_its_id(double: Double, provider: PredictionsProvider) -> None:
    provider.generate(call_for(Kind.video, model="acme/video-2:0a1b2c"))
    [asked] = double.creates
    assert (asked["path"], asked["model"]) == ("/v1/predictions", "0a1b2c")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.upscale, {"image": "data", "scale": 4}),
        (Kind.lipsync, {"image": "data", "audio": "https://sounds.example/hello.wav"}),
        (Kind.image, {"prompt": "a red fox", "aspect_ratio": "2:3"}),
        (Kind.image_edit, {"prompt": "make it night", "image": "data"}),
    ],
)
def test_what_each_kind_tells_its_model(
    double: Double, provider: PredictionsProvider, kind: Kind, told: dict[str, Any]
) -> None:
    call = call_for(kind, model="acme/film" if kind is Kind.lipsync else "acme/picture")
    made = provider.generate(call)
    [asked] = double.creates
    if "image" in asked["input"]:
        inline = asked["input"]["image"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(inline) == call.picture().data
        asked["input"]["image"] = "data"
    assert asked["input"] == told
    if kind is Kind.lipsync:
        assert (file(made).media_type, made.usage) == ("video/mp4", {"seconds": 1, "predict_seconds": 2})
    else:
        assert (file(made).data, made.usage) == (PICTURE, {"images": 1, "predict_seconds": 2})


def test_an_action_says_what_its_model_calls_them(double: Double, provider: PredictionsProvider) -> None:
    options = {"inputs": {"seconds": "num_seconds", "resolution": ""}, "fixed": {"fps": 24, "loop": False}}
    provider.generate(film(options=options))
    [asked] = double.creates
    assert asked["input"] == {"prompt": "a red fox runs", "num_seconds": 3, "fps": 24, "loop": False}


def test_an_action_may_name_what_is_not_told_otherwise(double: Double, provider: PredictionsProvider) -> None:
    options = {"inputs": {"width": "w", "height": "h", "size": "size", "aspect_ratio": ""}}
    provider.generate(call_for(Kind.image, model="acme/picture", job_id=uuid4(), options=options))
    provider.generate(call_for(Kind.lipsync, options={"inputs": {"seconds": "duration", "image": "", "audio": ""}}))
    assert [asked["input"] for asked in double.creates] == [
        {"prompt": "a red fox", "w": 1024, "h": 1536, "size": "1024x1536"},
        {"duration": 10},
    ]


def test_a_large_picture_is_brought_first_if_the_service_takes_files(
    double: Double, provider: PredictionsProvider
) -> None:
    noise = Image.frombytes("RGB", (400, 300), Random(1).randbytes(400 * 300 * 3))
    large = examine(save(noise, "image/png"))
    assert len(large.data) > 256 * 1024
    call = call_for(Kind.upscale, model="acme/picture", upload=large)
    provider.generate(call)
    [brought] = double.files
    assert large.data in brought
    assert double.creates[-1]["input"]["image"] == f"{double.url}/files/1"
    double.takes_files = False
    provider.generate(call)
    assert double.creates[-1]["input"]["image"].startswith("data:image/png;base64,")


def test_the_service_says_when_to_ask_again(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", polls=["processing", "succeeded"], headers={"Retry-After": "7"})
    call = film()
    provider.generate(call)
    assert call.pauses == [7.0, 7.0]


def test_a_service_that_does_not_say_how_long_it_worked(double: Double, provider: PredictionsProvider) -> None:
    double.plan("", predict_time=None)
    assert provider.generate(film()).usage == {"seconds": 1}
