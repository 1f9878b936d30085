"""Receipts: whoever buys a pack is told what it was, what it cost and by which name the payment goes."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from models import packs
from models.database import sessions
from models.emails import Email
from models.errors import InvalidInput
from tests.http.offers import COMPANIONS, sell
from tests.mail.conftest import address_of, new_account


def emails_of(user_id: UUID) -> list[Email]:
    with sessions() as session:
        return list(session.scalars(select(Email).where(Email.user_id == user_id)))


def test_a_purchase_has_one_receipt(database: str) -> None:
    sold = sell(COMPANIONS)
    user_id = new_account()
    for _ in range(2):
        with sessions() as session:
            packs.fulfil(session, sold, user_id=user_id, pack="both", ref="checkout:1", reference="INV-7")
    [receipt] = emails_of(user_id)
    assert (receipt.template, receipt.key) == ("receipt", "receipt:checkout:1")
    assert receipt.details == {
        "title": "Both",
        "credits": {"tokens": 250, "minutes": 30},
        "bonus": {"tokens": 25},
        "price": {"amount": 999, "currency": "EUR"},
        "reference": "INV-7",
    }
    with sessions() as session:
        packs.fulfil(session, sold, user_id=user_id, pack="small", ref="checkout:2")
    assert [each.details["reference"] for each in emails_of(user_id)] == ["INV-7", "checkout:2"]


def test_what_was_not_sold_has_none(sqlite: str) -> None:
    user_id = new_account()
    with sessions() as session, pytest.raises(InvalidInput):
        packs.fulfil(session, sell(COMPANIONS), user_id=user_id, pack="huge", ref="checkout:1")
    assert emails_of(user_id) == []


def test_an_offline_sale_sends_a_receipt(app: Any, mail_anywhere: Callable[[UUID], None], tmp_path: Path) -> None:
    sell(COMPANIONS)
    user_id = new_account()
    arguments = ["packs", "grant", address_of(user_id), "both", "--ref", "TILL-0815"]
    for _ in range(2):
        done = app.test_cli_runner().invoke(args=arguments)
        assert done.exit_code == 0, done.output
    [receipt] = emails_of(user_id)
    mail_anywhere(receipt.id)
    [file] = (tmp_path / "mail").iterdir()
    mail: Any = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert mail["Subject"] == "Your receipt from Companions: Both"
    text = mail.get_body(("plain",)).get_content()
    for fact in ("250 Tokens and 30 Minutes", "On top: 25 Tokens", "Paid: 9.99 EUR", "Reference: TILL-0815"):
        assert fact in text
