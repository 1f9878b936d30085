"""Work done by somebody else's service: workers that die in every moment of it, users who cancel, time that runs out.

Whatever happens: one prediction where its id is stored, one charge, exact transfers.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text

from tests.ai.openai.scripted import Scripted, analysis, delta, events, response, silence
from tests.ai.openai.scripted import text as words
from tests.ai.predictions.double import CLIP, PICTURE, Double, Plan
from tests.system.house import Client, House, until
from tests.uploads.drawings import picture


def _cost(job: dict[str, Any]) -> tuple[int, int, int]:
    return job["cost"]["held"], job["cost"]["charged"], job["cost"]["refunded"]


def _transfers(house: House, job: dict[str, Any]) -> list[tuple[str, int]]:
    engine = create_engine(house.database_url)
    job_id = job["id"] if engine.dialect.name == "postgresql" else job["id"].replace("-", "")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT reason, amount FROM transfers WHERE job_id = :id ORDER BY id"), {"id": job_id}
        ).all()
    engine.dispose()
    return [tuple(row) for row in rows]


def _film(user: Client, words: str) -> dict[str, Any]:
    return user.submit(f"a fox that {words}", action="video")


def test_a_worker_that_dies_in_any_moment_costs_no_second_prediction(house: House, double: Double) -> None:
    asked = double.plan("is asked for", polls=["processing"])
    begins = double.plan("begins", holds={"create"})
    comes = double.plan("comes", holds={"download"})
    user, other = house.sign_up(), house.sign_up()
    jobs = [_film(user, "is asked for"), _film(user, "begins"), _film(other, "comes")]
    until(lambda: any(made.asked for made in double.begun("is asked for")))
    until(lambda: double.begun("begins") or None)
    until(lambda: any(made.downloaded for made in double.begun("comes")))

    house.kill("generation@")
    asked.polls = ["processing", "succeeded"]
    begins.released.set()
    comes.released.set()

    for owner, job in zip((user, user, other), jobs, strict=True):
        ended = owner.ended(job)
        assert (ended["status"], ended["attempt"], _cost(ended)) == ("completed", 2, (40, 40, 0))
        assert ended["usage"] == {"seconds": 1, "predict_seconds": 2}
        assert owner.http.get(ended["outputs"][0]["url"]).content == CLIP
        assert _transfers(house, job) == [("hold", 40), ("settle", 40)]
    assert [len(double.begun(words)) for words in ("is asked for", "begins", "comes")] == [1, 1, 1]
    assert len(double.created("is asked for")) == len(double.created("comes")) == 1, "their ids were stored"
    assert [each["key"] for each in double.created("begins")] == [jobs[1]["id"]] * 2, "the service knows the key"
    assert double.cancels == []
    assert user.balance() == {"available": 20, "held": 0, "debt": 0}


def test_how_else_it_may_end(house: House, double: Double) -> None:
    double.plan("never ends", polls=["processing"])
    double.plan("is not wanted", polls=["processing"])
    double.plan("is indecent", polls=["failed"], error="NSFW content detected")
    broken = double.plan("breaks", polls=["processing", "failed"], error="CUDA out of memory")
    late, user, other = house.sign_up(), house.sign_up(), house.sign_up()
    endless, unwanted = _film(late, "never ends"), _film(user, "is not wanted")
    indecent, breaking = _film(user, "is indecent"), _film(other, "breaks")

    [first] = until(lambda: double.begun("breaks") or None)
    until(lambda: first.asked > 1)
    first.plan = Plan(polls=["failed"])
    broken.polls = ["succeeded"]

    [running] = until(lambda: double.begun("is not wanted") or None)
    until(lambda: running.asked)
    assert user.http.post(unwanted["urls"]["cancel"]).status_code == 202
    assert _cost(user.ended(unwanted)) == (40, 20, 20)
    assert running.canceled, "nobody goes on working for nobody"
    assert _transfers(house, unwanted) == [("hold", 40), ("settle", 20), ("release", 20)]

    ended = user.ended(indecent)
    assert (ended["status"], ended["error"]["code"], _cost(ended)) == ("failed", "content_filtered", (40, 0, 40))
    assert len(double.created("is indecent")) == 1

    ended = other.ended(breaking)
    assert (ended["status"], ended["attempt"], _cost(ended)) == ("completed", 2, (40, 40, 0))
    assert [each["key"] for each in double.created("breaks")] == [breaking["id"], f"{breaking['id']}-{first.id}"]
    assert _transfers(house, breaking) == [("hold", 40), ("settle", 40)]

    upload = other.http.post(
        "/v1/uploads", content=picture(size=(41, 29)), headers={"Content-Type": "image/png"}
    ).json()
    ended = other.ended(other.order({"action": "upscale", "input": {"upload": upload["id"], "scale": 2}}))
    assert (ended["status"], ended["usage"]) == ("completed", {"images": 1, "predict_seconds": 2})
    assert other.http.get(ended["outputs"][0]["url"]).content == PICTURE

    ended = late.ended(endless)
    assert (ended["status"], ended["attempt"], _cost(ended)) == ("failed", 3, (40, 0, 40))
    assert ended["error"]["code"] == "provider_timeout"
    [abandoned] = double.begun("never ends")
    assert (len(double.created("never ends")), abandoned.canceled) == (1, True)
    assert _transfers(house, endless) == [("hold", 40), ("release", 40)]
    assert double.strangers == 0


def test_words_that_a_worker_dies_over_are_asked_for_again_and_paid_for_once(house: House, talker: Scripted) -> None:
    stalls = events(delta("The"), ending=False, then=silence)
    talker.answer_with(stalls, events(response(words(analysis()))), stalls)
    user = house.sign_up()
    job = user.submit("shall we meet?", action="chat")
    until(lambda: len(talker.asked) == 1)
    house.kill("generation@")
    ended = user.ended(job)
    assert (ended["status"], ended["attempt"], _cost(ended)) == ("completed", 2, (5, 5, 0)), ended["error"]
    assert ended["outputs"][0]["suggestions"] == ["Reply 0", "Reply 1", "Reply 2"]
    assert ended["usage"]["output_tokens"] == 20
    assert _transfers(house, job) == [("hold", 5), ("settle", 5)]

    talker.left.clear()
    unwanted = user.submit("shall we not?", action="chat")
    until(lambda: len(talker.asked) == 3)
    assert user.http.post(unwanted["urls"]["cancel"]).status_code == 202
    ended = user.ended(unwanted)
    assert (ended["status"], _cost(ended)) == ("canceled", (5, 0, 5))
    assert talker.left.wait(5), "nobody goes on talking to nobody"
    assert _transfers(house, unwanted) == [("hold", 5), ("release", 5)]
    assert user.balance() == {"available": 95, "held": 0, "debt": 0}
