"""The catalog over the API: edited as a whole, version by version; and its promotions one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from config import settings
from models.catalog import CatalogVersion
from models.database import sessions
from tests.accounts.people import code_of, join
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.http.conftest import Caller
from tests.http.offers import CORNER_SHOP, sell
from web.shelf import shelf

WHY = {"reason": "Ticket 7"}
SPRING = {"title": "Spring", "credits": {"tips": 3}, "cap": 2}


@pytest.fixture(autouse=True)
def _sold(client: FlaskClient) -> Iterator[None]:
    sell()
    yield
    shelf.look_again()


def read(who: Caller) -> dict[str, Any]:
    answer = ask(who, "GET", "/catalog")
    assert answer.status_code == 200, answer.json
    found: dict[str, Any] = answer.json or {}
    assert answer.headers["ETag"] == f'"{found["version"]}"'
    return found


def put(who: Caller, document: dict[str, Any], version: int, query: str = "") -> TestResponse:
    return ask(who, "PUT", f"/catalog{query}", {"document": document, **WHY}, **{"If-Match": f'"{version}"'})


def priced(document: dict[str, Any], amount: Any) -> dict[str, Any]:
    chat = {**document["actions"]["chat"], "price": {"amount": amount}}
    return {**document, "actions": {**document["actions"], "chat": chat}}


def versions() -> int:
    with sessions() as session:
        return session.execute(select(func.count()).select_from(CatalogVersion)).scalar_one()


def test_an_edit_is_a_new_version_that_is_sold_at_once(client: FlaskClient, admin: Caller, support: Caller) -> None:
    before = read(support)
    assert before["document"]["actions"]["chat"]["price"]["amount"] == 5
    assert (before["object"], before["name"]) == ("catalog_version", "corner-shop")
    number = versions()
    dry = put(admin, priced(before["document"], 7), before["version"], "?dry_run=true")
    line = {"path": "actions.chat.price.amount", "before": 5, "after": 7}
    assert dry.json == {
        "object": "catalog_edit", "version": before["version"], "changed": False, "changes": [line],
    }  # fmt: skip
    assert (versions(), entries()) == (number, [])
    made: dict[str, Any] = put(admin, priced(before["document"], 7), before["version"]).json or {}
    assert (made["changed"], made["changes"], made["version"] > before["version"]) == (True, [line], True)
    [sold] = (client.get("/v1/actions").json or {})["actions"]
    assert sold["price"]["amount"] == 7
    assert entries() == [
        {
            "actor": "admin", "actor_id": entries()[0]["actor_id"], "verb": "catalog.change", "target": "catalog",
            "before": {"version": before["version"]}, "reason": "Ticket 7",
            "after": {"version": made["version"], "changes": ["~ actions.chat.price.amount: 5 → 7"]},
        }
    ]  # fmt: skip
    same = put(admin, priced(before["document"], 7), made["version"]).json or {}
    assert (same["changed"], same["version"], len(entries())) == (False, made["version"], 1)


def test_an_edit_of_what_has_changed_meanwhile_is_refused(admin: Caller) -> None:
    first = read(admin)
    assert put(admin, priced(first["document"], 7), first["version"]).status_code == 200
    now = read(admin)["version"]
    for query in ("", "?dry_run=true"):
        late = put(admin, priced(first["document"], 8), first["version"], query)
        assert (code_of(late), (late.json or {})["version"]) == ((412, "catalog_changed"), now)
    for headers in ({}, {"If-Match": "*"}, {"If-Match": '"x"'}):
        answer = ask(admin, "PUT", "/catalog", {"document": first["document"], **WHY}, **headers)
        assert [each["field"] for each in (answer.json or {})["errors"]] == ["If-Match"]
    assert (read(admin)["version"], len(entries())) == (now, 1)


def test_a_bad_document_is_refused_as_a_whole_with_every_fault(admin: Caller) -> None:
    before, number = read(admin), versions()
    document = before["document"]
    shapeless = {**priced(document, "many"), "wallets": {}, "colour": "red"}
    answer = put(admin, shapeless, before["version"])
    fields = {each["field"] for each in (answer.json or {})["errors"]}
    assert answer.status_code == 422
    assert {"document.wallets", "document.colour"} <= fields
    assert any(each.startswith("document.actions.chat.price") for each in fields)
    loose = {
        **document, "signup": {"plan": "gold"},
        "actions": {"chat": {**document["actions"]["chat"], "wallet": "coins"}},
    }  # fmt: skip
    answer = put(admin, loose, before["version"])
    assert {each["field"] for each in (answer.json or {})["errors"]} == {
        "document.actions.chat.wallet", "document.signup.plan",
    }  # fmt: skip
    assert (read(admin), versions(), entries()) == (before, number, [])


def test_an_earlier_version_is_sold_again(admin: Caller, support: Caller) -> None:
    first = read(admin)
    put(admin, priced(first["document"], 7), first["version"])
    second = read(admin)
    path = f"/catalog/versions/{first['version']}"
    assert (ask(support, "GET", path).json or {})["document"] == first["document"]
    dry: dict[str, Any] = ask(admin, "POST", f"{path}/restore?dry_run=true", WHY).json or {}
    assert (dry["changed"], dry["version"]) == (False, second["version"])
    late = ask(admin, "POST", f"{path}/restore", WHY, **{"If-Match": f'"{first["version"]}"'})
    assert code_of(late) == (412, "catalog_changed")
    made: dict[str, Any] = ask(admin, "POST", f"{path}/restore", WHY).json or {}
    assert (made["changes"], made["changed"]) == (
        [{"path": "actions.chat.price.amount", "before": 7, "after": 5}], True,
    )  # fmt: skip
    third = read(admin)
    assert (third["document"], third["digest"], third["version"]) == (
        first["document"], first["digest"], made["version"],
    )  # fmt: skip
    seen: list[int] = []
    after = ""
    while True:
        page: dict[str, Any] = ask(support, "GET", f"/catalog/versions?limit=1{after}").json or {}
        seen += [each["version"] for each in page["versions"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen[:3] == [third["version"], second["version"], first["version"]]
    assert len(seen) == versions()
    for verb, path in (("GET", "/catalog/versions/999999"), ("POST", "/catalog/versions/999999/restore")):
        assert code_of(ask(admin, verb, path, WHY if verb == "POST" else None)) == (404, "not_found")


def test_a_promotion_is_put_counted_and_taken_away(client: FlaskClient, admin: Caller, support: Caller) -> None:
    version = read(admin)["version"]
    made: dict[str, Any] = ask(admin, "PUT", "/promotions/SPRING", {"promotion": SPRING, **WHY}).json or {}
    assert (made["changed"], made["version"] > version) == (True, True)
    ann = join(client)
    assert ann.post("/v1/redemptions", {"code": "SPRING"}).status_code == 201
    seen: dict[str, Any] = ask(support, "GET", "/promotions/SPRING").json or {}
    assert seen == {
        "code": "SPRING", "object": "promotion", "promotion": SPRING, "open": True, "redeemed": 1, "left": 1,
    }  # fmt: skip
    over = {**SPRING, "ends_at": "2020-01-01T00:00:00Z"}
    assert ask(admin, "PUT", "/promotions/SPRING", {"promotion": over, **WHY}).status_code == 200
    [seen] = (ask(support, "GET", "/promotions").json or {})["promotions"]
    assert (seen["open"], seen["redeemed"]) == (False, 1)
    before = read(admin)["version"]
    assert (ask(admin, "DELETE", "/promotions/SPRING?dry_run=true", WHY).json or {})["changed"] is False
    late = ask(admin, "DELETE", "/promotions/SPRING", WHY, **{"If-Match": f'"{version}"'})
    assert code_of(late) == (412, "catalog_changed")
    assert (ask(admin, "DELETE", "/promotions/SPRING", WHY).json or {})["version"] == read(admin)["version"] > before
    assert (ask(support, "GET", "/promotions").json or {})["promotions"] == []
    for verb in ("GET", "DELETE"):
        gone = ask(admin, verb, "/promotions/SPRING", WHY if verb == "DELETE" else None)
        assert code_of(gone) == (404, "not_found")
    assert [each["verb"] for each in entries()] == ["catalog.change"] * 3
    assert [len(each["after"]["changes"]) > 0 for each in entries()] == [True] * 3
    assert any("promotions.SPRING.ends_at" in line for line in entries()[1]["after"]["changes"])


def test_an_upgrade_does_not_undo_an_edit(app: Flask, admin: Caller, tmp_path: Path) -> None:
    def flask(*arguments: str) -> str:
        ended = app.test_cli_runner().invoke(args=[*arguments])
        assert ended.exit_code == 0, ended.output
        return str(ended.output)

    preset = tmp_path / "shop.toml"
    flask("catalog", "export", "--output", str(preset))
    before = read(admin)
    with mock.patch("web.commands.database.settings", return_value=settings().model_copy(update={"preset": preset})):
        assert "unchanged" in flask("migrate")
        put(admin, priced(before["document"], 7), before["version"])
        edited = read(admin)
        said = flask("migrate")
        assert f"Version {edited['version']} of the catalog was edited" in said
        assert read(admin) == edited
        flask("catalog", "load", str(preset))
        loaded = read(admin)
        assert loaded["document"] == before["document"]
        preset.write_text(preset.read_text().replace("amount = 5", "amount = 6"))
        flask("migrate")
        assert read(admin)["document"] == priced(before["document"], 6), "what was loaded gives way to what is newer"
    assert [(each["actor"], each["verb"]) for each in entries()] == [
        ("admin", "catalog.change"), ("command", "catalog.load"), ("command", "catalog.load"),
    ]  # fmt: skip


def test_a_bad_promotion_is_refused_by_path(admin: Caller) -> None:
    before = read(admin)["version"]
    for promotion, field in (
        ({"title": "x"}, "promotion"),
        ({**SPRING, "cap": 0}, "promotion.cap"),
        ({**SPRING, "credits": {"gold": 3}}, "promotion.credits.gold"),
        ({**SPRING, "plan": "gold", "months": 1}, "promotion.plan"),
    ):
        answer = ask(admin, "PUT", "/promotions/SPRING", {"promotion": promotion, **WHY})
        assert (answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]) == (422, [field])
    assert ask(admin, "PUT", "/promotions/spring", {"promotion": SPRING, **WHY}).status_code == 422
    assert (read(admin)["version"], entries()) == (before, [])


def test_only_admins_and_the_key_edit(client: FlaskClient, admin: Caller, support: Caller) -> None:
    ann, before = join(client), read(admin)
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("PUT", "/catalog", {"document": CORNER_SHOP, **WHY}),
        ("POST", f"/catalog/versions/{before['version']}/restore", WHY),
        ("PUT", "/promotions/SPRING", {"promotion": SPRING, **WHY}),
        ("DELETE", "/promotions/SPRING", WHY),
    )
    for verb, path, body in calls:
        for who in (ann, support):
            assert code_of(ask(who, verb, path, body)) == NO_ROLE
        assert code_of(client.open(f"/v1/admin{path}", method=verb, json=body)) == STRANGER
        assert ask(admin, verb, path, {**body, "reason": ""}, **{"If-Match": "1"}).status_code == 422
    for path in ("/catalog", "/catalog/versions", f"/catalog/versions/{before['version']}", "/promotions"):
        assert code_of(ask(ann, "GET", path)) == NO_ROLE
    assert (read(admin), entries()) == (before, [])
    assert by_key(client, "PUT", "/promotions/SPRING", {"promotion": SPRING, **WHY}).status_code == 200
    assert [(each["actor"], each["verb"]) for each in entries()] == [("admin_key", "catalog.change")]


def test_commands_do_the_same(app: Flask, tmp_path: Path, admin: Caller) -> None:
    def flask(*arguments: str) -> tuple[int, str]:
        ended = app.test_cli_runner().invoke(args=[*arguments])
        return ended.exit_code, ended.output

    version = read(admin)["version"]
    file = tmp_path / "spring.toml"
    file.write_text('title = "Spring"\ncap = 2\n[credits]\ntips = 3\n')
    assert flask("promotions", "put", "SPRING", str(file), "--reason", "Spring")[0] == 0
    assert "SPRING  Spring  open  0 of 2 redeemed" in flask("promotions", "list")[1]
    assert flask("promotions", "remove", "AUTUMN", "--reason", "x")[0] == 1
    assert flask("promotions", "remove", "SPRING", "--reason", "Summer")[0] == 0
    code, said = flask("catalog", "restore", str(version), "--reason", "As before")
    assert code == 0, said
    code, said = flask("catalog", "versions", "--limit", "1")
    assert (code, "corner-shop" in said, "--after" in said) == (0, True, True)
    assert flask("catalog", "restore", "999999", "--reason", "x")[0] == 1
    assert [(each["actor"], each["reason"]) for each in entries()] == [("command", "Spring"), ("command", "Summer")]
