"""Referrals over HTTP, and the reward for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from models import ledger, packs, referrals, users
from models.catalog import Catalog
from models.database import sessions
from models.ledger import Lot, Source
from models.referrals import On, Referral, ReferralCode
from models.users import User
from tests.http.conftest import PASSWORD, Caller
from tests.http.offers import sell
from tests.ledger import books

TERMS = {"wallet": "credits", "referrer": 30, "referred": 10, "on": "purchase", "cap": 2}
SignUp = Callable[[], Caller]


@pytest.fixture
def shop(client: FlaskClient) -> Catalog:
    return sell(referral=TERMS)


def test_everybody_has_a_code_of_their_own(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    answer = caller.get("/v1/referrals")
    mine: dict[str, Any] = answer.json or {}
    assert answer.status_code == 200
    assert len(mine["code"]) == 8
    assert set(mine["code"]) <= set(referrals.ALPHABET)
    assert mine == {
        "code": mine["code"], "referred": 0, "rewarded": 0, "earned": {"credits": 0},
        "terms": {**TERMS, "expires_days": None},
    }  # fmt: skip
    assert caller.get("/v1/referrals").json == mine
    assert _code(sign_up()) != mine["code"]


def test_without_terms_there_are_no_referrals(client: FlaskClient, caller: Caller) -> None:
    for answer in (caller.get("/v1/referrals"), caller.post("/v1/referrals", {"code": "ABCDEFGH"})):
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")
        assert (answer.json or {})["detail"] == "This product does not reward bringing others."
    answer = _join(client, "ABCDEFGH")
    assert (answer.status_code, _fields(answer)) == (422, ["referral_code"])
    assert _rows(User, Referral, ReferralCode) == [1, 0, 0]


def test_who_signs_up_with_a_code_is_rewarded_once_with_the_referrer(
    shop: Catalog, client: FlaskClient, caller: Caller
) -> None:
    joined = _join(client, _code(caller).lower())
    assert joined.status_code == 201, joined.json
    referred = UUID((joined.json or {})["user"]["id"])
    assert _standing(caller) == (1, 0, {"credits": 0})
    assert _reward(shop, referred, on="verification") is False
    assert books.transfers() == 0
    assert _reward(shop, referred) is True
    before = books.everything()
    assert _reward(shop, referred) is False
    assert books.everything() == before
    for user, amount, side in ((_id(caller), 30, "referrer"), (referred, 10, "referred")):
        wallet = _wallet(user)
        [lot] = books.lots(wallet)
        assert books.moves(wallet) == [("grant", "issued", "available", amount, lot, amount)]
        assert books.refs(wallet) == [f"referral:{referred}:{side}"]
        with sessions() as session:
            row = session.execute(select(Lot.source, Lot.expires_at).where(Lot.id == lot)).one()
        assert tuple(row) == (Source.referral, None)
    assert _standing(caller) == (1, 1, {"credits": 30})


def test_the_first_pack_rewards_both_sides_once(shop: Catalog, client: FlaskClient, caller: Caller) -> None:
    pack = {"title": "Small", "price": {"amount": 499, "currency": "EUR"}, "credits": {"credits": 100}}
    sold = sell(referral=TERMS, packs={"small": pack})
    bought = UUID((_join(client, _code(caller)).json or {})["user"]["id"])
    for ref in ("payment:1", "payment:1", "payment:2"):
        with sessions() as session:
            packs.fulfil(session, sold, user_id=bought, pack="small", ref=ref)
    refs = [f"referral:{bought}:referred", "payment:1:credits", "payment:2:credits"]
    assert books.refs(_wallet(bought)) == refs
    assert books.sums(_wallet(bought)).available == 210
    assert books.refs(_wallet(_id(caller))) == [f"referral:{bought}:referrer"]
    assert _standing(caller) == (1, 1, {"credits": 30})


def test_beyond_the_cap_only_the_new_user_is_rewarded(shop: Catalog, client: FlaskClient, caller: Caller) -> None:
    brought = [UUID((_join(client, _code(caller)).json or {})["user"]["id"]) for _ in range(3)]
    assert [_reward(shop, user) for user in brought] == [True] * 3
    assert [books.sums(_wallet(user)).available for user in brought] == [10, 10, 10]
    assert books.sums(_wallet(_id(caller))).available == 60
    assert _standing(caller) == (3, 3, {"credits": 60})


def test_rewards_expire_when_the_terms_say_so(shop: Catalog, client: FlaskClient, caller: Caller) -> None:
    sold = sell(referral={**TERMS, "expires_days": 5})
    referred = UUID((_join(client, _code(caller)).json or {})["user"]["id"])
    assert _reward(sold, referred)
    with sessions() as session:
        lots = session.execute(select(Lot.expires_at, Lot.created_at)).all()
    assert len(lots) == 2
    for expires_at, created_at in lots:
        assert expires_at is not None
        assert abs(expires_at - created_at - timedelta(days=5)) < timedelta(minutes=1)


def test_an_unknown_code_at_sign_up_makes_no_account(shop: Catalog, client: FlaskClient) -> None:
    for _ in range(2):
        answer = _join(client, "NOSUCH22")
        assert (answer.status_code, _fields(answer)) == (422, ["referral_code"])
    assert _rows(User, Referral) == [0, 0]


@pytest.mark.parametrize(
    ("owner", "new"),
    [("ann@example.com", "ann+two@example.com"), ("b.e.n@gmail.com", "Ben+x@googlemail.com")],
)
def test_nobody_refers_themselves_from_another_address(
    shop: Catalog, client: FlaskClient, owner: str, new: str
) -> None:
    code = _code(_caller(client, owner))
    answer = _join(client, code, email=new)
    assert (answer.status_code, _why(answer)) == (409, "same_mailbox")
    assert _rows(User, Referral) == [1, 0]
    late = _caller(client, new).post("/v1/referrals", {"code": code})
    assert (late.status_code, _why(late)) == (409, "same_mailbox")
    assert _rows(User, Referral) == [2, 0]


def test_a_signed_in_user_can_say_once_who_brought_them(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    first, second = sign_up(), sign_up()
    assert _why(caller.post("/v1/referrals", {"code": _code(caller)})) == "own_code"
    unknown = caller.post("/v1/referrals", {"code": "NOSUCH22"})
    assert (unknown.status_code, _fields(unknown)) == (422, ["code"])
    assert _rows(Referral) == [0]
    answer = caller.post("/v1/referrals", {"code": _code(first)})
    assert (answer.status_code, (answer.json or {})["rewarded_at"]) == (201, None)
    for other in (first, second):
        assert _why(caller.post("/v1/referrals", {"code": _code(other)})) == "already_referred"
    assert _why(first.post("/v1/referrals", {"code": _code(caller)})) == "each_other"
    assert _rows(Referral) == [1]
    assert [_standing(each)[0] for each in (caller, first, second)] == [0, 1, 0]
    assert books.transfers() == 0


def test_who_has_bought_before_was_not_brought(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    def grant(source: Source) -> None:
        with sessions() as session:
            ledger.grant(session, wallet_id=_wallet(_id(caller)), amount=5, source=source, ref=source)

    grant(Source.promo)
    grant(Source.purchase)
    answer = caller.post("/v1/referrals", {"code": _code(sign_up())})
    assert (answer.status_code, _why(answer)) == (409, "has_bought")
    assert _rows(Referral) == [0]


def test_who_only_got_gifts_can_still_be_referred(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    with sessions() as session:
        ledger.grant(session, wallet_id=_wallet(_id(caller)), amount=5, source=Source.promo, ref="gift")
    assert caller.post("/v1/referrals", {"code": _code(sign_up())}).status_code == 201


def test_who_is_verified_already_is_rewarded_at_once(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    sold = sell(referral={**TERMS, "on": "verification"})
    with sessions() as session:
        assert users.verify(session, _id(caller)) is True
    answer = caller.post("/v1/referrals", {"code": _code(sign_up())})
    assert answer.status_code == 201
    assert (answer.json or {})["rewarded_at"] is not None
    assert books.sums(_wallet(_id(caller))).available == 10
    assert _reward(sold, _id(caller), on="verification") is False
    assert books.transfers() == 2


def test_a_reward_waits_for_what_the_terms_ask(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    sold = sell(referral={**TERMS, "on": "verification"})
    assert caller.post("/v1/referrals", {"code": _code(sign_up())}).status_code == 201
    assert _reward(sold, _id(caller), on="purchase") is False
    assert books.transfers() == 0
    assert _reward(sold, _id(caller), on="verification") is True
    assert books.transfers() == 2


def test_who_was_brought_by_nobody_is_rewarded_with_nothing(shop: Catalog, caller: Caller) -> None:
    assert _reward(shop, _id(caller)) is False
    assert books.transfers() == 0


def test_two_codes_are_never_the_same(shop: Catalog, caller: Caller, sign_up: SignUp) -> None:
    taken = _code(caller)
    with mock.patch("models.referrals.secrets.choice", side_effect=iter(taken + "22223333")):
        assert _code(sign_up()) == "22223333"


def _join(client: FlaskClient, code: str, *, email: str | None = None) -> Any:
    body = {"email": email or f"{uuid4().hex}@example.com", "password": PASSWORD, "referral_code": code}
    return client.post("/v1/auth/signup", json=body)


def _caller(client: FlaskClient, email: str) -> Caller:
    answer = client.post("/v1/auth/signup", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.json
    return Caller(client, email, answer.json or {})


def _reward(sold: Catalog, user_id: UUID, *, on: On = "purchase") -> bool:
    with sessions() as session:
        return referrals.reward(session, sold, user_id=user_id, on=on)


def _code(caller: Caller) -> str:
    return str((caller.get("/v1/referrals").json or {})["code"])


def _standing(caller: Caller) -> tuple[int, int, dict[str, int]]:
    mine: dict[str, Any] = caller.get("/v1/referrals").json or {}
    return mine["referred"], mine["rewarded"], mine["earned"]


def _id(caller: Caller) -> UUID:
    return UUID(caller.tokens["user"]["id"])


def _wallet(user_id: UUID) -> int:
    with sessions() as session:
        return ledger.open_wallet(session, user_id=user_id, kind="credits")


def _why(answer: Any) -> str:
    assert (answer.status_code, answer.json["code"]) == (409, "referral_refused"), answer.json
    return str(answer.json["why"])


def _fields(answer: Any) -> list[str]:
    return [error["field"] for error in answer.json["errors"]]


def _rows(*tables: Any) -> list[int]:
    with sessions() as session:
        return [session.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]
