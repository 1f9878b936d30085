"""Mail into a folder, as in development, and into the log."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from models import emails
from models.emails import EmailState
from tests.mail.conftest import make_due, new_account, row, send, stage, state


def test_each_mail_is_a_file_that_sorts_by_its_time(mail_by: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "mail"
    mail_by(f"file://{tmp_path}/a%20folder/mail")
    user_id = new_account(name="Zoë")
    sent = [stage(template, user_id=user_id) for template in ("welcome", "password_changed")]
    for email_id in reversed(sent):
        assert send(email_id).state is EmailState.sent
    files = sorted(folder.iterdir())
    assert [file.name.split("-")[3] for file in files] == ["welcome", "password_changed"]
    assert {file.suffix for file in files} == {".eml"}
    for email_id, file in zip(sent, files, strict=True):
        mail: Any = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        assert mail["Message-ID"] == f"<{email_id}@example.com>"
        assert "Zoë" in mail.get_body(("plain",)).get_content()
        assert file.stat().st_mode & 0o077 == 0, "its links are for its reader alone"


def test_a_mail_that_is_sent_again_is_the_same_file(mail_by: Callable[..., None], tmp_path: Path) -> None:
    mail_by(f"file://{tmp_path}")
    email_id = stage(user_id=new_account())
    with mock.patch.object(emails, "sent", side_effect=SystemExit), pytest.raises(SystemExit):
        send(email_id)
    [file] = tmp_path.iterdir()
    assert file.name.startswith(f"{row(email_id).created_at:%Y%m%d-%H%M%S}-")
    make_due(email_id)
    send(email_id)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_is_waited_for(mail_by: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file, and no folder")
    mail_by(f"file://{tmp_path}/mail")
    email_id = stage(user_id=new_account())
    with capture_logs() as logs:
        send(email_id)
    assert state(email_id) == (EmailState.queued, "folder FileExistsError")
    assert logs[-1]["log_level"] == "error"
    (tmp_path / "mail").unlink()
    make_due(email_id)
    assert send(email_id).state is EmailState.sent


def test_the_log_says_that_there_was_a_mail_and_nothing_of_it(mail_by: Callable[..., None]) -> None:
    mail_by("console:")
    email_id = stage("reset_password", recipient="zoe@example.com")
    dropped = stage("account_closed", recipient="zoe@example.com")
    with capture_logs() as logs:
        assert send(email_id).state is EmailState.dropped
        assert send(dropped).state is EmailState.sent
    assert [(line["event"], line["template"]) for line in logs] == [
        ("mail_dropped", "reset_password"),
        ("mail", "account_closed"),
        ("mail_sent", "account_closed"),
    ]
    assert "zoe" not in str(logs)
    assert "token" not in str(logs)
