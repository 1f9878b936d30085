"""POST /v1/spends: charges with no job."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from models import plans
from models.audit import audit
from models.database import moment, sessions
from models.ledger import Transfer
from models.outbox import Outbox
from models.plans import Origin
from models.rates import RateWindow
from models.spends import Spend
from tests.http.conftest import Caller
from tests.http.offers import COMPANIONS, sell
from tests.ledger import books

Counts = Callable[[], tuple[int, int]]


@pytest.fixture
def spent() -> Counts:
    """How many spends there are, and how many transfers that are one."""

    def count() -> tuple[int, int]:
        with sessions() as session:
            spends = session.execute(select(func.count()).select_from(Spend)).scalar_one()
            transfers = select(func.count()).select_from(Transfer).where(Transfer.reason == "spend")
            return spends, session.execute(transfers).scalar_one()

    return count


@pytest.fixture
def user(sign_up: Callable[[], Caller]) -> Caller:
    sell(COMPANIONS)
    return sign_up()


def _tokens(user: Caller) -> int:
    return int(user.get("/v1/me").json["balances"]["tokens"]["available"])  # type: ignore[index]


def _give(user: Caller, plan: str) -> None:
    with sessions() as session:
        user_id = UUID(user.tokens["user"]["id"])
        plans.subscribe(session, user_id=user_id, plan=plan, origin=Origin.admin, ref=f"test:{user_id}:{plan}")


def test_a_spend_is_charged_and_shown(user: Caller) -> None:
    answer = user.post("/v1/spends", {"action": "tip", "input": {"quantity": 7, "reference": "Luna"}})
    assert answer.status_code == 201, answer.json
    made = answer.json or {}
    assert (made["object"], made["action"], made["balance_after"]) == ("spend", "tip", 93)
    assert made["cost"] == {"wallet": "tokens", "charged": 7, "breakdown": [{"label": "Tip: 7 × 1", "amount": 7}]}
    assert _tokens(user) == 93
    assert user.get("/v1/spends").json == {"spends": [made], "next": None}


def test_the_same_key_is_charged_once(user: Caller, spent: Counts) -> None:
    body = {"action": "skip", "input": {"level": 3}}
    first, second = (user.post("/v1/spends", body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert (first.json, second.headers["Idempotency-Replayed"]) == (second.json, "true")
    assert first.json["cost"]["charged"] == 30  # type: ignore[index]
    assert spent() == (1, 1)
    other = user.post("/v1/spends", {"action": "skip", "input": {"level": 4}}, **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")  # type: ignore[index]
    assert _tokens(user) == 70


def test_too_few_credits_move_nothing(user: Caller, spent: Counts) -> None:
    for _ in range(2):
        answer = user.post("/v1/spends", {"action": "tip", "input": {"quantity": 101}})
        problem = answer.json or {}
        assert (answer.status_code, problem["required"], problem["available"], problem["shortfall"]) == (
            402,
            101,
            100,
            1,
        )
    assert spent() == (0, 0)
    assert _tokens(user) == 100
    # A refused spend did not count towards the rate.
    assert [user.post("/v1/spends", {"action": "tip"}).status_code for _ in range(6)] == [201] * 5 + [429]


def test_spending_is_limited_and_the_limit_passes(user: Caller) -> None:
    for _ in range(5):
        assert user.post("/v1/spends", {"action": "minute"}).status_code == 201
    answer = user.post("/v1/spends", {"action": "minute"})
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")  # type: ignore[index]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    with sessions() as session:
        session.execute(update(RateWindow).values(started_at=moment(session, plus=-61)))
    assert user.post("/v1/spends", {"action": "minute"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "nothing"}, "action"),
        ({"action": "chat", "input": {"prompt": "hi"}}, "action"),
        ({"action": "tip", "input": {"quantity": 0}}, "input.quantity"),
        ({"action": "tip", "input": {"quantity": -1}}, "input.quantity"),
        ({"action": "tip", "input": {"quantity": 100_001}}, "input.quantity"),
        ({"action": "tip", "input": {"amount": 1}}, "input.amount"),
        ({"action": "skip", "input": {"level": "high"}}, "input.level"),
        ({"action": "tip", "input": {"addons": ["bow"]}}, "input.addons.0"),
        ({"input": {}}, "action"),
    ],
)
def test_bad_input_names_the_field_and_moves_nothing(
    user: Caller, spent: Counts, body: dict[str, object], field: str
) -> None:
    answer = user.post("/v1/spends", body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json["errors"]] == [field]  # type: ignore[index]
    assert spent() == (0, 0)


def test_a_spend_is_no_job(user: Caller) -> None:
    answer = user.post("/v1/jobs", {"action": "tip", "input": {}})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "action")  # type: ignore[index]


def test_a_feature_is_needed_where_one_is_required(user: Caller, spent: Counts) -> None:
    for path, body in (
        ("/v1/spends", {"action": "gift"}),
        ("/v1/jobs", {"action": "video", "input": {"prompt": "a fox"}}),
        ("/v1/jobs/estimate", {"action": "video", "input": {"prompt": "a fox"}}),
    ):
        answer = user.post(path, body)
        problem = answer.json or {}
        assert (answer.status_code, problem["code"]) == (403, "feature_required")
        assert (problem["feature"], problem["plans"]) == ("video", ["elite"])
    assert spent() == (0, 0)
    _give(user, "elite")
    assert user.post("/v1/spends", {"action": "gift"}).status_code == 201


def test_an_unlimited_plan_is_free_up_to_fair_use(user: Caller, spent: Counts) -> None:
    _give(user, "elite")
    for _ in range(3):
        made = user.post("/v1/spends", {"action": "skip", "input": {"level": 5}})
        assert made.json["cost"] == {  # type: ignore[index]
            "wallet": "tokens", "charged": 0, "breakdown": [{"label": "Skip: included in Elite", "amount": 0}],
        }  # fmt: skip
    answer = user.post("/v1/spends", {"action": "skip"})
    assert (answer.status_code, answer.json["code"]) == (429, "fair_use_exceeded")  # type: ignore[index]
    assert spent() == (3, 0)
    assert _tokens(user) == 100


def test_a_priority_plan_uses_the_queue_served_first(user: Caller) -> None:
    with sessions() as session:
        before = set(session.scalars(select(Outbox.id)))
    _give(user, "premium")
    job = user.post("/v1/jobs", {"action": "chat", "input": {"prompt": "hi"}})
    assert (job.status_code, job.json["cost"]["held"]) == (202, 0)  # type: ignore[index]
    with sessions() as session:
        (queue,) = session.scalars(select(Outbox.queue).where(Outbox.id.not_in(before)))
    assert queue == "generation.high"


def test_pages_of_spends_hold_each_once_and_only_ones_own(user: Caller, sign_up: Callable[[], Caller]) -> None:
    made = [user.post("/v1/spends", {"action": "tip"}).json["id"] for _ in range(5)]  # type: ignore[index]
    seen, after = [], ""
    while True:
        page = user.get(f"/v1/spends?limit=2{after}").json or {}
        seen += [each["id"] for each in page["spends"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == made[::-1]
    assert sign_up().get("/v1/spends").json == {"spends": [], "next": None}
    assert user.client.get("/v1/spends").status_code == 401


def test_the_audit_notices_a_spend_that_was_never_paid(user: Caller) -> None:
    made = user.post("/v1/spends", {"action": "tip", "input": {"quantity": 2}}).json or {}
    books.by_hand("UPDATE spends SET charged = 3")
    with sessions() as session:
        assert audit(session) == [f"spend {made['id']} says 3 were charged; its transfers say 2"]
    books.by_hand("UPDATE spends SET charged = 2")
