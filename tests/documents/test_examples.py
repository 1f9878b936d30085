"""The OpenAPI document shows by example what is sent and answered, and the examples are true to their schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from web import example_problems

METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").json
    return found


def _forms(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON body, sent or answered, with its name."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if operation := item.get(method):
                bodies = {"": operation.get("requestBody", {}), **operation["responses"]}
                for status, body in bodies.items():
                    for media_type, form in body.get("content", {}).items():
                        if media_type in ("application/json", PROBLEM):
                            yield f"{method.upper()} {path} {status} {media_type}".strip(), form


def _examples(form: dict[str, Any]) -> list[Any]:
    return [each["value"] for each in form["examples"].values()] if "examples" in form else [form["example"]]


def test_every_body_has_an_example_that_its_schema_allows(document: dict[str, Any]) -> None:
    wrong, seen = [], 0
    for name, form in _forms(document):
        if "example" not in form and not form.get("examples"):
            wrong.append(f"{name} has no example")
            continue
        check = jsonschema_rs.validator_for(
            {**form["schema"], "components": document["components"]}, validate_formats=True
        )
        for example in _examples(form):
            seen += 1
            wrong += [
                f"{name} {'.'.join(map(str, each.instance_path))}: {each.message}"
                for each in check.iter_errors(example)
            ]
    assert wrong == []
    assert seen > 3 * len(document["paths"]), "nothing was looked at"


def test_an_answer_shows_every_member_that_there_is(document: dict[str, Any]) -> None:
    """Members that nobody needs may be missing from an answer; from its example they are not."""
    models = document["components"]["schemas"]
    for name, form in _forms(document):
        if not name.endswith(PROBLEM) and "$ref" in form["schema"]:
            model = models[form["schema"]["$ref"].rpartition("/")[2]]
            assert list(form["example"]) == list(model["properties"]), name


def test_problems_are_shown_by_their_codes_under_their_status(document: dict[str, Any]) -> None:
    shown = set()
    for name, form in _forms(document):
        if name.endswith(PROBLEM):
            for code, example in form["examples"].items():
                status = int(name.split()[2])
                assert (example["value"]["code"], example["value"]["status"]) == (code, status), name
                shown.add(code)
    assert set(example_problems.refusals()) - shown == ELSEWHERE, "say in web/example_problems.py which call does this"


ELSEWHERE = {"link_expired"}
"""Of links that are in no document: whoever has one may fetch what it leads to."""


def test_the_tables_know_nothing_that_is_not_there(document: dict[str, Any]) -> None:
    codes = {*example_problems.refusals(), *example_problems.OTHERS}
    assert set(example_problems.TOLD) - codes == set()
    calls = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert set(example_problems.AT) - calls == set()
    for (method, path), statuses in example_problems.AT.items():
        said = document["paths"][path][method.lower()]["responses"]
        assert {str(status) for status in statuses} - set(said) == set(), (method, path)
