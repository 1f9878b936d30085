"""Money in a running Coinop: pages that people press buttons on, signed events over real HTTP, credits, and mail."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.system.house import Client, House, until
from tests.system.houses import Houses


@pytest.fixture
def house(lodging: str, houses: Houses) -> House:
    return houses.on(lodging, selling="media-studio")


def _press(house: House, url: str, label: str) -> str:
    """Open a page of the mock gateway, press a button on it, and return where that leads."""
    page = httpx.get(url, timeout=15).raise_for_status()
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    buttons = dict(re.findall(r'<button[^>]*formaction="([^"]+)"[^>]*>([^<]+)</button>', page.text))
    [target] = [target for target, text in buttons.items() if text == label]
    pressed = httpx.post(f"{house.url}{target}", timeout=15)
    assert pressed.status_code == 303, pressed.text
    return pressed.headers["Location"]


def _begin(user: Client, path: str, **body: Any) -> dict[str, Any]:
    begun = user.http.post(path, json=body)
    assert begun.status_code == 201, begun.text
    checkout: dict[str, Any] = begun.json()
    return checkout


def _has(user: Client, available: int) -> bool:
    return user.balance() == {"available": available, "held": 0, "debt": 0}


def _payments(user: Client) -> list[tuple[str, int, str]]:
    found = user.http.get("/v1/payments").raise_for_status().json()["payments"]
    return [(each["title"], each["price"]["amount"], each["status"]) for each in found]


# On one of the two: what money does to the rows is tested on both elsewhere.
@pytest.mark.parametrize("lodging", ["postgresql"], indirect=True)
def test_a_pack_and_a_plan_are_bought_renewed_and_paid_back(house: House) -> None:
    user = house.sign_up()
    assert _has(user, 60)
    checkout = _begin(user, "/v1/checkouts", pack="large")
    assert _press(house, checkout["checkout_url"], "Be declined").startswith("/mock-checkout/")
    assert _press(house, checkout["checkout_url"], "Pay") == f"{house.url}/checkout/success"
    until(lambda: _has(user, 60 + 550))
    assert _payments(user) == [("500 credits", 1999, "succeeded")]

    checkout = _begin(user, "/v1/subscription", plan="basic")
    house.kill("payments")
    _press(house, checkout["checkout_url"], "Pay")
    until(lambda: _has(user, 1110))
    portal = _begin(user, "/v1/portal-sessions")["url"]
    _press(house, portal, "Let the period end now")
    until(lambda: _has(user, 1610))
    assert user.http.patch("/v1/subscription", json={"plan": "premium"}).status_code == 200
    until(lambda: _has(user, 2310))

    [bought] = [each for each in user.http.get("/v1/payments").json()["payments"] if each["checkout_id"]]
    _press(house, bought["receipt_url"], "Give it all back")
    until(lambda: _has(user, 1760))
    assert _payments(user) == [
        ("Premium", 1400, "succeeded"),
        ("Basic", 1500, "succeeded"),
        ("Basic", 1500, "succeeded"),
        ("500 credits", 1999, "refunded"),
    ]
    address = user.http.get("/v1/me").raise_for_status().json()["email"]
    until(lambda: {"receipt", "renewal", "refund"} <= set(house.mails(address)))
    assert user.http.delete("/v1/subscription?at=now").status_code == 204
    assert user.http.get("/v1/subscription").status_code == 404
