"""What a later attempt makes of what an earlier one began: one prediction, as long as something can come of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ai.predictions.asking import ATTEMPTS, failure, file, film
from tests.ai.predictions.double import CLIP, Double, Plan
from tests.unit.fake_call import JOB
from worker.ai.predictions import PredictionsProvider
from worker.ai.provider import Canceled, Refused, Unavailable, Unfinished


def stopped(double: Double, provider: PredictionsProvider, **about: Any) -> Plan:
    """A first attempt whose time was over; how its prediction goes on is up to the plan."""
    plan = double.plan("", polls=["processing"])
    call = film(timeout=0.2)
    assert failure(provider, call).code == "provider_timeout"
    assert call.begun == ["predictions:p1"]
    for name, value in {"polls": ["succeeded"], **about}.items():
        setattr(plan, name, value)
    return plan


@pytest.mark.parametrize("polls", [["succeeded"], ["processing", "processing", "succeeded"], [500, "succeeded"]])
def test_what_was_begun_is_waited_for_and_not_ordered_again(
    double: Double, provider: PredictionsProvider, polls: list[Any]
) -> None:
    stopped(double, provider, polls=[*polls])
    call = film(attempt=2, request_id="predictions:p1")
    made = provider.generate(call)
    assert (file(made).data, made.request_id, made.usage["seconds"]) == (CLIP, "predictions:p1", 1)
    assert (len(double.creates), call.begun) == (1, [])


@pytest.mark.parametrize(
    "about",
    [
        {"polls": ["failed"], "error": "CUDA out of memory"},
        {"polls": ["canceled"]},
        {"polls": ["aborted"]},
        {"polls": [404]},
        {"output": None},
        {"data_removed": True},
        {"downloads": [404]},
        {"downloads": [403]},
    ],
    ids=lambda about: " ".join(map(str, about.values())),
)
def test_what_nothing_comes_of_is_ordered_again_under_a_key_of_its_own(
    double: Double, provider: PredictionsProvider, about: dict[str, Any]
) -> None:
    stopped(double, provider, **about)
    double.plan("")
    call = film(attempt=2, request_id="predictions:p1")
    made = provider.generate(call)
    assert (file(made).data, made.request_id, call.begun) == (CLIP, "predictions:p2", ["predictions:p2"])
    assert [each["key"] for each in double.creates] == [str(JOB), f"{JOB}-p1"]
    assert double.cancels == []


def test_what_a_filter_refused_is_not_ordered_again(double: Double, provider: PredictionsProvider) -> None:
    stopped(double, provider, polls=["failed"], error="NSFW content detected")
    error = failure(provider, film(attempt=2, request_id="predictions:p1"))
    assert (type(error), error.code, len(double.creates)) == (Refused, "content_filtered", 1)


def test_what_fails_under_our_eyes_is_left_to_the_next_attempt(double: Double, provider: PredictionsProvider) -> None:
    stopped(double, provider, polls=["processing", "processing", "failed"])
    error = failure(provider, film(attempt=2, request_id="predictions:p1"))
    assert (type(error), error.code, len(double.creates)) == (Unfinished, "provider_error", 1)


def test_a_service_that_is_down_is_asked_another_time(double: Double, provider: PredictionsProvider) -> None:
    stopped(double, provider, polls=[503])
    error = failure(provider, film(attempt=2, request_id="predictions:p1"))
    assert (type(error), error.code, len(double.creates)) == (Unavailable, "provider_error", 1)


def test_an_answer_that_was_lost_is_asked_for_under_the_same_key(double: Double, provider: PredictionsProvider) -> None:
    """Between the service's taking it on and our knowing its id, we may die."""
    plan = double.plan("", holds={"create"})
    assert failure(provider, film(timeout=0.2)).code == "provider_timeout"
    plan.holds.clear()
    plan.released.set()
    made = provider.generate(film(attempt=2))
    assert made.request_id == "predictions:p1"
    assert [(each["id"], each["key"]) for each in double.creates] == [("p1", str(JOB))] * 2


@pytest.mark.parametrize("request_id", ["mock_0190b6a0", "resp_1", "predictions:../p1", "predictions:"])
def test_an_id_of_somebody_else_is_not_asked_for(
    double: Double, provider: PredictionsProvider, request_id: str
) -> None:
    made = provider.generate(film(attempt=2, request_id=request_id))
    assert made.request_id == "predictions:p1"
    assert double.creates[0]["key"] == str(JOB)


def test_a_user_who_cancels_before_it_is_asked_for_again_stops_it_too(
    double: Double, provider: PredictionsProvider
) -> None:
    stopped(double, provider)
    with pytest.raises(Canceled):
        provider.generate(film(attempt=2, request_id="predictions:p1", canceled=True))
    assert (double.cancels, len(double.creates)) == (["p1"], 1)


def test_the_last_attempt_stops_what_it_cannot_ask_for(double: Double, provider: PredictionsProvider) -> None:
    stopped(double, provider, polls=[503])
    error = failure(provider, film(attempt=ATTEMPTS, request_id="predictions:p1"))
    assert (error.code, error.usage, double.cancels) == ("provider_error", None, ["p1"])
