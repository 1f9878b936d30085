"""The Postman collection and the OpenAPI document that are kept are those of this API, and no call is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from web.collection import collection
from web.commands.documents import OPENAPI, POSTMAN, written


def _requests(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "request" in item:
        yield item
    for each in item.get("item", ()):
        yield from _requests(each)


@pytest.mark.parametrize(("file", "command"), [(OPENAPI, "openapi"), (POSTMAN, "postman")])
def test_what_is_kept_is_fresh(app: Any, file: Path, command: str, tmp_path: Path) -> None:
    made = tmp_path / file.name
    done = app.test_cli_runner().invoke(args=[command, str(made)])
    assert done.exit_code == 0, done.output
    fresh = made.read_text() == file.read_text()
    assert fresh, f"{file.name} is not that of this API: flask --app wsgi {command} writes it anew"


def test_every_call_is_made_and_every_request_judged(app: Any) -> None:
    document = app.api_doc
    everything = list(_requests(collection(document)))
    names = [each["name"] for each in everything]
    assert len(names) == len(set(names)), "a request is repeated by its name"
    for each in everything:
        scripts = {event["listen"]: "\n".join(event["script"]["exec"]) for event in each["event"]}
        assert "pm.response.code" in scripts["test"], each["name"]
    made = {f"{each['request']['method']} {each['request']['url']}" for each in everything}
    calls = {
        f"{method.upper()} {{{{base_url}}}}{path.replace('{', '{{').replace('}', '}}')}"
        for path, item in document["paths"].items()
        for method in item
    }
    assert calls - made == set()


def test_variables_are_set_before_they_are_used(app: Any) -> None:
    made = collection(app.api_doc)
    known = {each["key"] for each in made["variable"]}
    used = {name.partition("}}")[0] for name in json.dumps(made).split("{{")[1:]} - {"$guid"}
    assert used - known == set()
    assert written(made).endswith("}\n")
