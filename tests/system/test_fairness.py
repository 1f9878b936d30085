"""Fairness at a running Coinop: a crowd leaves room for others, and none of it is lost with its worker."""

from __future__ import annotations

from collections import Counter

from tests.system.house import House


def test_a_crowd_leaves_room_for_others_and_outlives_its_worker(house: House) -> None:
    greedy, other = house.sign_up(), house.sign_up()
    worker = house.find("generation@")
    worker.suspend()  # so that all is in line before anything is done, however slow the machine
    try:
        theirs = [greedy.submit("[mock:latency=1]") for _ in range(16)]
        late = other.submit()
    finally:
        worker.resume()
    assert other.ended(late)["status"] == "completed"
    statuses = Counter(each["status"] for each in greedy.http.get("/v1/jobs", params={"limit": 20}).json()["jobs"])
    assert statuses["queued"] > 0, "who came last was not done last"
    assert statuses["running"] <= 4, "half of what the worker runs is the share"
    assert other.ended(other.submit("[mock:crash-once]"))["status"] == "completed"
    ends = [greedy.ended(each) for each in theirs]
    assert [each["status"] for each in ends] == ["completed"] * 16
    assert {each["cost"]["charged"] for each in ends} == {5}
    assert greedy.balance() == {"available": 20, "held": 0, "debt": 0}
