"""Logs: what must not be read in them is in no line, ours or a library's, however it came there."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import create_engine, text

import logs
from config import ROOT, settings
from redaction import HIDDEN, Redactor, passwords

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
KEY = "coinop_" + "aB3-_" * 8 + "xyz"
LINK_TOKEN = "Zq3_" * 10 + "v9K"
SECRET = "canary-of-the-house"

redactor = Redactor([SECRET, "short"])


Lines = Callable[[], list[dict[str, Any]]]
Start = Callable[[], Lines]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Begin to log in the form of production; gives what there is to read by then, line by line."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr(structlog.dev, "ConsoleRenderer", lambda **_: structlog.processors.JSONRenderer())

    def begin() -> Lines:
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        logs.set_up_logging()
        return lambda: [json.loads(line) for line in written.getvalue().splitlines()]

    yield begin
    root.handlers[:] = before[0]
    root.setLevel(before[1])


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        (f"header was {JWT}, sorry", [JWT, "dBjftJeZ4CVP"]),
        (f"key {KEY} is unknown", [KEY, KEY[-10:]]),
        ("calling with sk-proj-abcdef123456", ["abcdef123456"]),
        ("calling with sk_live_abcdef123456 and whsec_abcdef123456", ["abcdef123456"]),
        ("Authorization: Bearer abcdef.123456", ["abcdef.123456"]),
        ("Authorization: Basic Y29pbm9wOnNlY3JldA==", ["Y29pbm9wOnNlY3JldA"]),
        ("to Ada.Love+tag@mail.example.com: refused", ["Ada", "Love", "example"]),
        ("at postgresql://coinop:hunter2@db:5432/x", ["hunter2"]),
        ("at redis://:hunter/2@broker:6379/0", ["hunter"]),
        ("at smtp://ada%40example.com:hun@ter2@mail:587", ["hun", "ter2", "ada"]),
        ("GET /verify-email?token=abc123&x=1", ["abc123"]),
        (f"GET /reset-password/{LINK_TOKEN}", [LINK_TOKEN, LINK_TOKEN[:8]]),
        ("""{'email': 'Ada', "password": "hunt\\"er2", 'prompt': 'She wrote: see you'}""", ["Ada", "er2", "wrote"]),
        ("prompt: She wrote: see you", ["She", "wrote", "see"]),
        ("refused password=hunter2;", ["hunter2"]),
        ("[type=string, input_value='She wrote', input_type=str]", ["wrote"]),
        ("[SQL: INSERT]\n[parameters: {'x': 'She wrote'}]", ["wrote"]),
        ("DETAIL:  Failing row contains (1, She\nwrote, 2).\nCONTEXT: y", ["She", "wrote"]),
        ("DETAIL:  Key (user_id, name)=(7, She wrote) already exists.", ["wrote"]),
        (f"it is {SECRET}!", [SECRET]),
    ],
)
def test_secrets_are_known_by_their_shape(said: str, hidden: list[str]) -> None:
    shown = redactor.text(said)
    assert [part for part in hidden if part in shown] == []
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "said",
    [
        "Task generation.run[2f342349-2519-475f-a4d4-30df378e601c] succeeded in 0.04s",
        "Connected to redis://127.0.0.1:6379/0",
        "Listening at: http://[::1]:8000 (4711)",
        "worker generation@vm-1 is ready",
        "output_tokens=12 input_tokens: 7, 3 tokens left",
        "shorter than it was, shortly",
        'File "/app/models/one_time_tokens.py", line 60, in use_the_token_of_somebody_else_who_is_gone',
        "DETAIL:  Key columns are two.",
        "https://example.com/a.png?size=2",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(said: str) -> None:
    assert redactor.text(said) == said


def test_what_is_too_long_is_cut_between_words() -> None:
    shown = redactor.text(f"begin {JWT} " + f"{KEY} " * 1_000 + " the end")
    assert len(shown) < 20_000
    assert shown.startswith("begin")
    assert shown.endswith("the end")
    assert [part for part in (JWT[:12], KEY[:12], KEY[-12:]) if part in shown] == []
    assert redactor.text("x" * 30_000) == " … "


def test_values_are_hidden_by_their_name() -> None:
    line = redactor(
        None, "info",
        {
            "event": "sent", "user_id": "7", "api_key": "x", "Authorization": "x", "refreshToken": "x",
            "recipient": "x", "prompt": ["x"], "input": {"seconds": 2}, "output_tokens": 12, "token": None,
            "by_mail": True,
            "job": {"id": "7", "password": "x", "more": [{"email": "x"}, "ada@example.com"]}, "error": ValueError("7"),
        },
    )  # fmt: skip
    assert line == {
        "event": "sent", "user_id": "7", "api_key": HIDDEN, "Authorization": HIDDEN, "refreshToken": HIDDEN,
        "recipient": HIDDEN, "prompt": HIDDEN, "input": HIDDEN, "output_tokens": 12, "token": None, "by_mail": True,
        "job": {"id": "7", "password": HIDDEN, "more": [{"email": HIDDEN}, HIDDEN]}, "error": "7",
    }  # fmt: skip


def test_our_lines_and_those_of_libraries_pass_through_it(start: Start) -> None:
    lines = start()
    mine = structlog.get_logger("ours")
    mine.warning("told", email="ada@example.com", link=f"https://x/?token={LINK_TOKEN}", jobs=3)
    library = logging.getLogger("some.library")
    library.warning("mail for %s", "ada@example.com", extra={"password": "hunter2"})
    try:
        raise ValueError("no such key: " + KEY)
    except ValueError:
        mine.exception("broke")
        library.exception("broke, too")
    shown = lines()
    assert [line["event"] for line in shown] == ["told", f"mail for {HIDDEN}", "broke", "broke, too"]
    assert (shown[0]["email"], shown[0]["jobs"]) == (HIDDEN, 3)
    assert "ValueError" in shown[2]["exception"]
    assert "test_logs.py" in shown[3]["exception"]
    everything = json.dumps(shown)
    assert [part for part in ("ada@", LINK_TOKEN, KEY, "hunter2") if part in everything] == []


def test_a_broken_thread_says_so_in_a_line(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> None:
        raise ValueError("ada@example.com")

    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    lines = start()
    thread = threading.Thread(target=breaks, name="sad")
    thread.start()
    thread.join()
    [line] = lines()
    assert (line["event"], line["thread"]) == ("thread_broke", "sad")
    assert "ValueError" in line["exception"]
    assert "ada@" not in line["exception"]


def test_a_line_that_cannot_be_written_is_not_printed_either(start: Start) -> None:
    lines = start()
    logging.getLogger("some.library").warning("mail for %s at %d", "ada@example.com", "noon")
    [line] = lines()
    assert (line["event"], line["error"]) == ("line_lost", "TypeError")


def test_the_secrets_of_this_installation_are_hidden_whatever_they_look_like(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://coinop:hunter%2Ftwo@db/coinop")
    monkeypatch.setenv("SMTP_URL", "smtp://coinop:correcthorse@mail:587")
    monkeypatch.setenv("ADMIN_API_KEY", "let-me-in-please")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20opensesame,x-scope=shop7")
    settings.cache_clear()
    lines = start()
    structlog.get_logger("ours").warning("x hunter/two hunter%2Ftwo correcthorse let-me-in-please opensesame y")
    settings.cache_clear()
    [line] = lines()
    assert line["event"] == f"x {HIDDEN} {HIDDEN} {HIDDEN} {HIDDEN} {HIDDEN} y"


def test_a_failed_statement_does_not_show_what_it_was_given(postgresql: str) -> None:
    engine = create_engine(postgresql)
    prompt = "She wrote:\nsee you at (eight)"
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t (id int UNIQUE, word text CHECK (length(word) < 5), n int)"))
        for values in ({"id": 1, "word": prompt, "n": 1},):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                connection.execute(text("INSERT INTO t VALUES (:id, :word, :n)"), values)
            assert "see you" in str(caught.value), "the driver shows it"
            shown = redactor.text(str(caught.value))
            assert "violates check constraint" in shown
            assert [part for part in ("She", "wrote", "see you", "eight") if part in shown] == []
    engine.dispose()


def test_passwords_of_urls_are_found_as_written_and_as_meant() -> None:
    assert passwords("redis://:a%40b@host/0") == ["a%40b", "a@b"]
    assert passwords("sqlite:////tmp/x.sqlite3") == []


def test_a_command_that_breaks_shows_no_password(tmp_path: Path) -> None:
    """Each of them asks for what is not there, and says so without the password it asked with."""
    environment = {
        "PATH": os.environ["PATH"], "COINOP_HOME": str(tmp_path), "SECRET_KEY": "x" * 32, "JWT_SECRET_KEY": "y" * 32,
        "DATABASE_URL": "postgresql://coinop:hunter-two-canary@127.0.0.1:1/coinop",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "audit"], cwd=ROOT, env=environment, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "process_broke" in said
    assert "OperationalError" in said
    assert "hunter-two" not in said
