"""The main job, end to end: through HTTP, database, outbox, broker and worker, to the receipt."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system.house import Client, House, cost
from tests.system.houses import Houses

pytestmark = pytest.mark.usefixtures("begun")

PICTURE = "https://example.com/a.png"


@dataclass
class Begun:
    """A job of a user who has no other."""

    user: Client
    job: dict[str, Any]
    at: float

    def ended(self) -> dict[str, Any]:
        return self.user.ended(self.job)


@pytest.fixture(scope="module")
def begun(lodging: str, houses: Houses) -> dict[str, Begun]:
    """Jobs that take long to end, by their marks, all submitted before the first test: the others pass meanwhile."""
    house = houses.on(lodging, selling="default")
    made = {}
    for mark in ("stuck", "hang", "unavailable", "fail-twice"):
        user = house.sign_up()
        made[mark] = Begun(user, user.submit(f"[mock:{mark}]"), time.monotonic())
    return made


def test_a_job_is_done_and_charged_once(house: House) -> None:
    user = house.sign_up()
    job = user.ended(user.submit("She wrote: see you at eight?"))
    assert (job["status"], job["attempt"], cost(job)) == ("completed", 1, (5, 5, 0))
    [output] = job["outputs"]
    assert output["type"] == "analysis"
    assert output["text"] == f"The tone is {output['tone']} and the message {output['intent']}; {output['advice']}."
    assert len(set(output["suggestions"])) == len(output["suggestions"]) == 3
    assert job["usage"]["output_tokens"] > 0
    assert house.transfers(job) == [("hold", 5, 95), ("settle", 5, 95)]
    assert user.balance() == {"available": 95, "held": 0, "debt": 0}


def test_a_failed_job_gives_everything_back(house: House) -> None:
    user = house.sign_up()
    for marker, code in (("[mock:fail]", "provider_refused"), ("[mock:filtered]", "content_filtered")):
        job = user.ended(user.submit(marker))
        assert (job["status"], job["error"]["code"], cost(job)) == ("failed", code, (5, 0, 5))
        assert house.transfers(job) == [("hold", 5, 95), ("release", 5, 100)]
    assert user.balance() == {"available": 100, "held": 0, "debt": 0}


def test_the_charge_follows_what_was_delivered_but_never_exceeds_the_hold(house: House) -> None:
    user = house.sign_up()
    over, under = user.submit("[mock:overrun]"), user.submit("[mock:underrun]")
    assert cost(user.ended(over)) == (5, 5, 0)
    assert cost(user.ended(under)) == (5, 2, 3)
    assert house.transfers(under)[1:] == [("settle", 2, 90), ("release", 3, 93)]
    assert user.balance() == {"available": 93, "held": 0, "debt": 0}


@pytest.mark.parametrize(
    ("body", "media_type", "magic"),
    [
        ({"action": "image", "input": {"prompt": "a fox", "size": "512x512"}}, "image/png", b"\x89PNG\r\n\x1a\n"),
        ({"action": "image_edit", "input": {"prompt": "red", "image_url": PICTURE}}, "image/png", b"\x89PNG"),
        ({"action": "upscale", "input": {"image_url": PICTURE, "scale": 4}}, "image/png", b"\x89PNG"),
        ({"action": "video", "input": {"prompt": "a fox", "seconds": 2}}, "video/mp4", b"\x00\x00\x00"),
        ({"action": "speech", "input": {"text": "Hello there."}}, "audio/wav", b"RIFF"),
        (
            {"action": "lipsync", "input": {"image_url": PICTURE, "audio_url": "https://example.com/a.wav"}},
            "video/mp4", b"\x00\x00\x00",
        ),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_kind_makes_a_real_file(house: House, body: dict[str, Any], media_type: str, magic: bytes) -> None:
    user = house.sign_up()
    job = user.ended(user.order(body))
    assert job["status"] == "completed", job
    (output,) = job["outputs"]
    file = user.http.get(output["url"])
    assert (file.status_code, file.headers["Content-Type"]) == (200, media_type)
    assert file.content.startswith(magic)
    assert (len(file.content), hashlib.sha256(file.content).hexdigest()) == (output["size"], output["sha256"])
    part = user.http.get(output["url"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, file.content[4:8])
    assert house.sign_up().http.get(output["url"]).status_code == 404, "it belongs to somebody else"


def test_words_come_with_the_job(house: House) -> None:
    user = house.sign_up()
    job = user.ended(user.order({"action": "vision", "input": {"prompt": "What is it?", "image_url": PICTURE}}))
    assert job["outputs"][0]["text"]
    assert user.http.get(f"{job['urls']['get']}/outputs/0").status_code == 404, "there is no file"


def test_a_running_job_is_canceled_soon_and_charged_by_how_far_it_came(house: House) -> None:
    user = house.sign_up()
    video = user.submit("[mock:latency=5]", action="video")
    chat = user.submit("[mock:latency=5]")
    for job in (video, chat):
        user.became(job, "running")
        assert user.http.post(job["urls"]["cancel"]).status_code == 202
    done = user.ended(video)
    assert (done["status"], cost(done)) == ("canceled", (40, 20, 20)), "its provider had begun: half the price"
    done = user.ended(chat)
    assert (done["status"], cost(done)) == ("canceled", (5, 0, 5)), "nothing had begun"
    assert user.balance() == {"available": 80, "held": 0, "debt": 0}


def test_passing_errors_are_tried_again_and_charged_once(house: House, begun: dict[str, Begun]) -> None:
    job = begun["fail-twice"].ended()
    assert (job["status"], job["attempt"], job["error"], cost(job)) == ("completed", 3, None, (5, 5, 0))
    assert house.transfers(job) == [("hold", 5, 95), ("settle", 5, 95)]


def test_a_provider_that_stays_away_is_given_up_and_refunded(begun: dict[str, Begun]) -> None:
    job = begun["unavailable"].ended()
    assert (job["status"], job["attempt"], job["error"]["code"], cost(job)) == (
        "failed", 3, "provider_unavailable", (5, 0, 5),
    )  # fmt: skip


def test_a_provider_that_hangs_is_cut_off(begun: dict[str, Begun]) -> None:
    job = begun["hang"].ended()
    assert (job["status"], job["error"]["code"], cost(job)) == ("failed", "provider_timeout", (5, 0, 5))
    assert time.monotonic() - begun["hang"].at > 3 * 2.5


def test_an_attempt_that_ignores_its_time_is_taken_away_from_it(begun: dict[str, Begun]) -> None:
    job = begun["stuck"].ended()
    assert (job["status"], cost(job)) == ("failed", (5, 0, 5))


def test_a_job_that_waits_too_long_expires_with_a_refund(house: House) -> None:
    user = house.sign_up()
    worker = house.find("generation")
    worker.suspend()
    try:
        job = user.ended(user.submit(expires_in=1))
    finally:
        worker.resume()
    assert (job["status"], job["error"]["code"], job["attempt"], cost(job)) == ("expired", "expired", 0, (5, 0, 5))
    assert user.ended(user.submit())["status"] == "completed"
    assert user.job(job) == job, "the worker found its message, and left it alone"
