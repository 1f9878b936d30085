"""A running Coinop as those see it who watch it: all its processes in one scrape, and one request in all its logs."""

from __future__ import annotations

from uuid import uuid4

import httpx

from tests.system.house import House, until
from tests.watching.promql import Sample, samples

SERVICES = ("generation", "support", "payments", "mail")


def _of(scrape: list[Sample], name: str, **labels: str) -> float:
    return sum(each.value for each in scrape if each.name == name and labels.items() <= each.labels.items())


def test_a_request_can_be_followed_and_all_processes_are_counted(house: House) -> None:
    def scrape() -> list[Sample]:
        answer = httpx.get(f"{house.url}/metrics", timeout=30)
        answer.raise_for_status()
        return samples(answer.text)

    before = scrape()
    asked, address = f"asked-{uuid4().hex[:8]}", f"{uuid4().hex}@example.com"
    body = {"email": address, "password": "correct horse battery"}
    answer = httpx.post(f"{house.url}/v1/auth/signup", json=body, headers={"X-Request-Id": asked}, timeout=30)
    assert answer.headers["X-Request-Id"] == asked
    until(lambda: house.mails(address).get("verify_address"))
    token = answer.json()["access_token"]
    ordered = httpx.post(
        f"{house.url}/v1/jobs", json={"action": "chat", "input": {"prompt": "hello"}}, timeout=30,
        headers={"X-Request-Id": f"{asked}.job", "Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert ordered.status_code == 202

    def line_of(service: str, event: str, request_id: str) -> str | None:
        lines = (house.home / "logs" / f"{service}.log").read_text().splitlines()
        return next((line for line in lines if event in line and f"request_id={request_id}" in line), None)

    assert until(lambda: line_of("mail", "mail_sent", asked))
    job_id = ordered.json()["id"]
    assert job_id in until(lambda: line_of("generation", "attempt_ended", f"{asked}.job"))

    def all_there() -> list[Sample] | None:
        now = scrape()
        here = {each.labels["sign"] for each in now if each.name == "coinop_sign_age_seconds"}
        return now if here >= {"beat", *(f"worker:{service}" for service in SERVICES)} else None

    after = until(all_there)
    for name, labels in (
        ("coinop_http_requests_total", {"route": "/v1/jobs", "status": "202"}),
        ("coinop_jobs_total", {"kind": "chat", "outcome": "completed"}),
        ("coinop_provider_seconds_count", {"provider": "mock"}),
        ("coinop_emails_total", {"outcome": "sent"}),
        ("coinop_tasks_total", {"task": "generation.run", "outcome": "done"}),
    ):
        assert _of(after, name, **labels) > _of(before, name, **labels), name
