"""The gateway's door: what is not signed by the gateway, about now, for exactly this body, leaves no trace."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from config import settings
from models.database import sessions
from models.outbox import Outbox
from models.payments.inbox import GatewayEvent
from tests.payments.signing import sign

PATH = "/v1/webhooks/stripe"
BODY = json.dumps({"id": "evt_1", "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}).encode()
SECRET = settings().webhook_secret
OTHER = "whsec_" + "0" * 64


def _ago(seconds: float) -> float:
    return time.time() - seconds


def _altered(place: int) -> bytes:
    return BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]


def _parts(header: str) -> tuple[str, str]:
    at, digest = header.split(",")
    return at, digest


WRONG: dict[str, Callable[[], tuple[bytes, str | None]]] = {
    "none": lambda: (BODY, None),
    "empty": lambda: (BODY, ""),
    "blank": lambda: (BODY, "   "),
    "no signature in it": lambda: (BODY, _parts(sign(BODY, SECRET))[0]),
    "no time in it": lambda: (BODY, _parts(sign(BODY, SECRET))[1]),
    "a time that is none": lambda: (BODY, "t=now," + _parts(sign(BODY, SECRET))[1]),
    "a time and something more": lambda: (BODY, sign(BODY, SECRET).replace(",", "=1,")),
    "an empty one": lambda: (BODY, f"t={int(time.time())},v1="),
    "wrong": lambda: (BODY, f"t={int(time.time())},v1={'0' * 64}"),
    "not of letters": lambda: (BODY, f"t={int(time.time())},v1=ÿ{'0' * 63}"),
    "cut off": lambda: (BODY, sign(BODY, SECRET)[:-1]),
    "of the scheme for tests": lambda: (BODY, sign(BODY, SECRET, scheme="v0")),
    "with another secret": lambda: (BODY, sign(BODY, OTHER)),
    "with no secret": lambda: (BODY, sign(BODY, "")),
    "old": lambda: (BODY, sign(BODY, SECRET, at=_ago(302))),
    "very old": lambda: (BODY, sign(BODY, SECRET, at=0)),
    "old, said to be new": lambda: (BODY, f"t={int(time.time())}," + _parts(sign(BODY, SECRET, at=_ago(302)))[1]),
    "from the future": lambda: (BODY, sign(BODY, SECRET, at=_ago(-330))),
    "old, with a newer time behind it": lambda: (BODY, f"{sign(BODY, SECRET, at=_ago(302))},t={int(time.time())}"),
    "of another body": lambda: (b'{"id": "evt_2"}', sign(BODY, SECRET)),
    "of a body whose last letter was another": lambda: (_altered(BODY.rindex(b"ch_1") + 3), sign(BODY, SECRET)),
    "of a body whose id was another": lambda: (_altered(BODY.index(b"evt_1") + 4), sign(BODY, SECRET)),
    "of a body without its line's end": lambda: (BODY + b"\n", sign(BODY, SECRET)),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_who_has_not_the_secret_is_refused_and_nothing_is_stored(client: FlaskClient, how: str) -> None:
    body, header = WRONG[how]()
    before = _stored()
    answer = _post(client, body, header)
    assert (answer.status_code, _code(answer)) == (400, "bad_signature"), answer.json
    assert _stored() == before


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_secret_lets_nobody_in(client: FlaskClient, blank: str) -> None:
    before = _stored()
    with mock.patch("web.webhooks.settings", return_value=mock.Mock(webhook_secret=blank)):
        for secret in (blank, "", SECRET):
            answer = _post(client, BODY, sign(BODY, secret))
            assert (answer.status_code, _code(answer)) == (400, "bad_signature")
    assert _stored() == before


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"[]", b'"evt_1"', b"{}", b'{"id": "evt_1"}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": {}}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": {"object": "ch_1"}}',
        b'{"id": "evt_1", "type": 5, "data": {"object": {"id": "ch_1"}}}',
        b'{"id": 5, "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}',
        b'{"id": "", "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}',
        b'{"id": "evt_' + b"1" * 255 + b'", "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}',
        b'{"id": "evt_\\u0000", "type": "charge.refunded", "data": {"object": {"id": "ch_1"}}}',
        b'{"id": "evt_1", "type": "\\u0000", "data": {"object": {"id": "ch_1"}}}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": {"object": {"id": "ch_\\ud800"}}}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": {"object": {"id": "ch_' + b"1" * 255 + b'"}}}',
    ],
    ids=lambda body: body[:60].decode(),
)  # fmt: skip
def test_what_is_signed_but_no_event_is_refused_as_such(client: FlaskClient, body: bytes) -> None:
    before = _stored()
    answer = _post(client, body, sign(body, SECRET))
    assert (answer.status_code, _code(answer)) == (422, "invalid_input"), answer.json
    assert _stored() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"not JSON", BODY[:-1], _altered(0), BODY + b"\xff\xfe", BODY.replace(b"evt_1", b"\xe9vt_1"), b"[" * 100_000],
    ids=["empty", "no JSON", "cut off", "of one altered byte", "ends in no text", "has no text", "deep"],
)
def test_what_nobody_can_read_is_refused_however_it_is_signed(client: FlaskClient, body: bytes) -> None:
    before = _stored()
    for header in (sign(body, SECRET), sign(BODY, SECRET), None):
        answer = _post(client, body, header)
        assert (answer.status_code, _code(answer)) == (400, "bad_request"), answer.json
    assert _stored() == before


@pytest.mark.parametrize("length", ["said", "not said"])
def test_a_huge_body_is_refused_unread(client: FlaskClient, length: str) -> None:
    body = BODY[:-1] + b" " * settings().max_body_bytes + b"}"
    headers = {"Stripe-Signature": sign(body, SECRET), "Content-Type": "application/json"}
    before = _stored()
    if length == "said":
        answer = client.post(PATH, data=body, headers=headers)
    else:
        chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        answer = client.post(PATH, input_stream=BytesIO(body), headers=headers, environ_overrides=chunked)
    assert (answer.status_code, _code(answer)) == (413, "request_entity_too_large"), answer.json
    assert _stored() == before


def test_a_good_one_is_stored_once_however_often_it_comes(client: FlaskClient) -> None:
    events, messages = _stored()
    first, second = sign(BODY, SECRET, at=_ago(200)), sign(BODY, SECRET, at=_ago(-200))
    for header, new in ((first, True), (first, False), (second, False)):
        answer = _post(client, BODY, header)
        assert (answer.status_code, answer.json) == (200, {"received": True, "new": new})
    assert _stored() == (events + 1, messages + 1)
    with sessions() as session:
        event = session.get_one(GatewayEvent, "evt_1")
        assert (event.type, event.object_id, event.state, event.attempts) == (
            "charge.refunded", "ch_1", "received", 0
        )  # fmt: skip


def test_one_good_signature_of_several_is_enough(client: FlaskClient) -> None:
    """As while a secret is being exchanged: the gateway signs with the old one and the new one."""
    at, good = _parts(sign(BODY, SECRET))
    other = _parts(sign(BODY, OTHER))[1]
    answer = _post(client, BODY, ",".join([at, other, good, f"v0={'0' * 64}", "v2=later"]))
    assert (answer.status_code, (answer.json or {})["new"]) == (200, True)
    before = _stored()
    both_wrong = _post(client, BODY, ",".join([at, other, f"v1={'0' * 64}"]))
    assert (both_wrong.status_code, _stored()) == (400, before)


def _post(client: FlaskClient, body: bytes, header: str | None) -> TestResponse:
    headers = {} if header is None else {"Stripe-Signature": header}
    return client.post(PATH, data=body, headers={"Content-Type": "application/json", **headers})


def _code(answer: TestResponse) -> Any:
    return (answer.json or {}).get("code")


def _stored() -> tuple[int, int]:
    """How many events and messages there are."""
    with sessions() as session:
        events, messages = (
            session.scalars(select(func.count()).select_from(table)).one() for table in (GatewayEvent, Outbox)
        )
    return events, messages
