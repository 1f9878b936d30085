"""Which process takes which queue: what waits long for others has one of its own, here and in the containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import celeryconfig
from config import ROOT, Settings
from ops import up

BROKER = "redis://localhost/0"
GIVEN = {
    "secret_key": "x" * 32, "jwt_secret_key": "y" * 32, "flower_password": "z",
    "broker_url": BROKER, "redis_url": BROKER,
}  # fmt: skip


def chosen(tmp_path: Path, **more: str) -> Settings:
    return Settings.model_validate({**GIVEN, "coinop_home": tmp_path, **more})


def queues(command: tuple[str, ...] | list[str]) -> list[set[str]]:
    """The queues of each worker among these words of commands."""
    return [set(named.split(",")) for named in re.findall(r"--queues[ =](\S+)", " ".join(command))]


def on_one_machine(tmp_path: Path) -> list[set[str]]:
    return queues([word for service in up.commands(chosen(tmp_path)).values() for word in service.argv])


def in_containers(_: Path) -> list[set[str]]:
    return queues((ROOT / "docker-compose.yml").read_text().split())


@pytest.mark.parametrize("layout", [on_one_machine, in_containers])
def test_a_mail_server_or_a_gateway_that_is_slow_or_dead_holds_up_its_own_alone(layout: object, tmp_path: Path) -> None:
    assert callable(layout)
    workers: list[set[str]] = layout(tmp_path)
    assert {"email"} in workers
    assert {"payments"} in workers
    assert sorted(queue for worker in workers for queue in worker) == sorted(
        queue.name for queue in celeryconfig.task_queues
    ), "each queue is taken, by one worker"


def test_what_beat_has_done_stands_in_no_line_but_that_of_the_gateway_if_it_asks_it() -> None:
    """What looks after mail and payments that were left lying must run while those queues stand still."""
    asks_the_gateway = {"payments.reconcile", "payments.let_time_pass"}
    for name, entry in celeryconfig.beat_schedule.items():
        assert isinstance(entry["options"], dict)
        wanted = "payments" if entry["task"] in asks_the_gateway else "maintenance"
        assert entry["options"]["queue"] == wanted, name


def test_every_process_is_stopped_in_its_turn(tmp_path: Path) -> None:
    assert {name for group in up.STOP_ORDER for name in group} == {*up.commands(chosen(tmp_path)), "broker"}


@pytest.mark.parametrize(
    ("smtp_url", "said"),
    [
        ("", "{home}/mail  (a file for each e-mail)"),
        ("file:///var/a%20folder", "/var/a folder  (a file for each e-mail)"),
        ("smtp://coinop:secret@mail.example.com:587", "smtp://mail.example.com:587"),
        ("smtps://mail.example.com", "smtps://mail.example.com"),
        ("console:", "nowhere: SMTP_URL is console:, so the log says that there was one"),
    ],
)
def test_it_is_said_where_mail_goes(tmp_path: Path, smtp_url: str, said: str) -> None:
    summary = up._summary(chosen(tmp_path, smtp_url=smtp_url), tmp_path / "logs", show_password=False)
    assert f"  Mail    {said.format(home=tmp_path)}\n" in summary
    assert "secret" not in summary
