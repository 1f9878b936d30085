"""Waiting in a running Coinop with two web processes: for a worker, for a broker that is frozen, and for nobody any
more when the front door closes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pages import needs_curl, run_blocks
from tests.system.house import Client, House, until

CHAT = {"action": "chat", "input": {"prompt": "hello"}}
WAIT = {"Prefer": "wait=25"}


# Waiting is the business of processes; the database has no part in it.
pytestmark = pytest.mark.parametrize("lodging", ["sqlite"], indirect=True)


def _submit(user: Client) -> httpx.Response:
    return user.http.post("/v1/jobs", json=CHAT, headers=WAIT, timeout=60)


def test_whoever_waits_is_answered_by_whatever_process_they_came_to(house: House) -> None:
    users = [house.sign_up() for _ in range(6)]
    with ThreadPoolExecutor(len(users)) as threads:
        for _ in range(3):
            for answer in threads.map(_submit, users):
                job: dict[str, Any] = answer.json()
                assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, WAIT["Prefer"])
                assert (job["status"], job["cost"]["charged"]) == ("completed", 5)
        broker = house.find("-server")
        broker.suspend()
        asked = threads.submit(_submit, users[0])
        until(lambda: len(users[0].http.get("/v1/jobs").json()["jobs"]) == 4)
        broker.resume()
        answer = asked.result()
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert users[0].balance() == {"available": 80, "held": 0, "debt": 0}


@needs_curl
def test_the_commands_of_the_page_run_as_they_are_written(house: House, tmp_path: Path) -> None:
    _, submitted, again, shown = run_blocks("waiting.md", address=house.url, folder=tmp_path)
    assert submitted.startswith("HTTP/1.1 200")
    assert "preference-applied: wait=20" in submitted.lower()
    assert (again.strip(), shown.strip()) == ("completed", "completed")


def test_a_front_door_that_closes_sends_away_who_waits(house: House) -> None:
    user = house.sign_up()
    worker = house.find("generation@")
    worker.suspend()
    try:
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(_submit, user)
            until(lambda: user.http.get("/v1/jobs").json()["jobs"])
            house.find("wsgi:app").terminate()
            answer = asked.result()
    finally:
        worker.resume()
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert "Preference-Applied" not in answer.headers

    def completed() -> bool:
        try:
            seen = user.http.get(answer.headers["Location"], headers=WAIT, timeout=60)
        except httpx.TransportError:
            return False
        return bool(seen.json()["status"] == "completed")

    until(completed)
