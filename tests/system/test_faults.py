"""Faults: workers and brokers that die, and an orderly stop in the middle of the work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.system.house import House, cost, until


def test_a_job_outlives_the_worker_it_kills(house: House) -> None:
    user = house.sign_up()
    bystander = user.submit("[mock:latency=1]")
    user.became(bystander, "running")
    job = user.ended(user.submit("[mock:crash-once]"))
    assert (job["status"], job["attempt"], cost(job)) == ("completed", 2, (5, 5, 0))
    assert user.ended(bystander)["status"] == "completed"


def test_a_job_that_kills_every_worker_is_given_up_and_refunded(house: House) -> None:
    user = house.sign_up()
    job = user.ended(user.submit("[mock:crash]"))
    assert (job["status"], job["error"]["code"], job["attempt"], cost(job)) == ("failed", "worker_lost", 3, (5, 0, 5))
    assert user.balance() == {"available": 100, "held": 0, "debt": 0}


def test_a_slow_job_resumes_what_its_provider_began(house: House) -> None:
    user = house.sign_up()
    job = user.ended(user.submit("[mock:crash-once]", action="video"))
    assert (job["status"], job["attempt"], cost(job)) == ("completed", 2, (40, 40, 0))


def test_jobs_are_accepted_while_the_broker_is_away_and_done_when_it_is_back(house: House) -> None:
    user = house.sign_up()
    broker = house.find("-server")
    broker.suspend()
    accepted = [user.submit(str(n)) for n in range(10)]
    broker.kill()
    accepted += [user.submit(str(n)) for n in range(5)]
    assert [user.ended(job)["status"] for job in accepted] == ["completed"] * 15
    assert user.balance() == {"available": 25, "held": 0, "debt": 0}


def test_flower_shows_jobs_under_their_own_id_and_only_with_the_password(house: House) -> None:
    user = house.sign_up()
    flower = httpx.Client(base_url=f"http://127.0.0.1:{house.flower_port}", timeout=15)
    assert flower.get("/").status_code == 401
    assert flower.get("/api/tasks").status_code == 401
    flower.auth = ("coinop", house.secret("FLOWER_PASSWORD"))

    def shown() -> dict[str, Any] | None:
        # Flower hears what happens while it listens, which it does again a moment after its broker came back.
        job = user.ended(user.submit())
        answer = flower.get(f"/api/task/info/{job['id']}")
        seen: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        # The job has ended a moment before its task has.
        return {**seen, "job": job} if seen.get("name") and seen["state"] != "STARTED" else None

    seen = until(shown)
    assert (seen["name"], seen["uuid"], seen["state"]) == ("generation.run", seen["job"]["id"], "SUCCESS")


# Stopping in order and starting again is the business of processes; the database has no part in it.
@pytest.mark.parametrize("lodging", ["sqlite"], indirect=True)
def test_an_orderly_stop_loses_nothing_and_a_second_start_goes_on(house: House) -> None:
    user = house.sign_up()
    jobs = [user.submit("[mock:latency=1]") for _ in range(12)]
    until(lambda: any(user.job(job)["status"] == "running" for job in jobs))
    said = house.stop()
    assert "nothing is lost" in said
    names = ("web", "beat", "generation", "broker")
    order = [said.index(f"{name}: stopped") for name in names]
    assert order == sorted(order), "the front door closes first, the broker goes last"
    house.start()
    assert [user.ended(job)["status"] for job in jobs] == ["completed"] * 12, "the old token still works, too"
    assert user.balance() == {"available": 40, "held": 0, "debt": 0}
