"""The Postman collection, made from the OpenAPI document: a first run that works from top to bottom, and every other
call with its example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from web.collection_steps import FIRST, LAST, REST, Caller, Folder, Step

Json = dict[str, Any]

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
NOBODY = "00000000-0000-7000-8000-000000000000"
MOST_TRIES = 60
TRY_EVERY_MS = 500

CAN = "const can = (kind) => answer.actions && answer.actions.find((each) => each.kind === kind && each.available);"

VARIABLES: dict[str, str] = {
    "base_url": "http://localhost:8000",
    "email": "ada@example.com",
    "password": "correct horse battery",
    "access_token": "",
    "refresh_token": "",
    "tries": "0",
}
"""Where a variable is set to begin with; the others are set by answers."""

OWN = ("email", "password", "current_password", "new_password", "refresh_token", "job_id", "payment_id", "checkout_id")
"""Fields of bodies whose values are the caller's own."""


def collection(document: Json) -> Json:
    """The collection, in the form 2.1."""
    made = {step.call for folder in (*FIRST, *LAST) for step in folder.steps}
    calls = dict(_calls(document))
    folders = [_folder(folder, calls) for folder in FIRST]
    folders.append(_rest({name: call for name, call in calls.items() if name not in made}))
    folders += [_folder(folder, calls) for folder in LAST]
    return {
        "info": {
            "_postman_id": _id("collection"),
            "name": document["info"]["title"],
            "description": "Run it from top to bottom against a Coinop in development: it signs somebody up, and "
            "closes the account at the end. Set `base_url` to where that is.",
            "schema": SCHEMA,
        },
        "auth": _bearer("{{access_token}}"),
        "item": folders,
        "variable": [{"key": name, "value": value} for name, value in _variables(calls).items()],
    }


def _calls(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def _variables(calls: dict[str, Json]) -> dict[str, str]:
    """Every variable there is. What names nothing yet must look like a name all the same."""
    found = dict(VARIABLES)
    for operation in calls.values():
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                found.setdefault(parameter["name"], _nothing(parameter["schema"]))
    for folder in (*FIRST, *LAST):
        for step in folder.steps:
            for name in step.keeps:
                found.setdefault(name, "")
    return {**found, "run": ""}


def _nothing(schema: Json) -> str:
    if schema.get("format") == "uuid":
        return NOBODY
    return str(int(schema.get("minimum", 1))) if schema.get("type") == "integer" else "none"


def _folder(folder: Folder, calls: dict[str, Json]) -> Json:
    made: Json = {"name": folder.name}
    if folder.description:
        made["description"] = folder.description
    return {**made, "item": [_step(step, calls) for step in folder.steps]}


def _step(step: Step, calls: dict[str, Json]) -> Json:
    method, path = step.call.split(" ", 1)
    operation = calls.get(_in_document(step.call, calls), {})
    headers = {name: value.replace("$name", _slug(step.name)) for name, value in step.headers.items()}
    before = [f'if (!pm.collectionVariables.get("{step.needs}")) pm.execution.skipRequest();'] if step.needs else []
    return _item(
        step.name, method, path, operation, body=step.body, headers=headers, caller=step.caller,
        before=[*before, *step.before], after=_after(step),
    )  # fmt: skip


def _in_document(call: str, calls: dict[str, Json]) -> str:
    """A step may name a parameter otherwise than the document does."""
    return call if call in calls else call.replace("{picture_id}", "{job_id}").replace("outputs/0", "outputs/{index}")


def _after(step: Step) -> list[str]:
    statuses = ", ".join(map(str, step.expected))
    lines = [_check(f"{step.name}: {statuses}", statuses)]
    if not (step.until or step.keeps or step.holds):
        return lines
    lines += ["let answer = {};", "try { answer = pm.response.json(); } catch (none) { /* it has no body */ }", CAN]
    rest = [
        f'if (pm.response.code < 300) pm.collectionVariables.set("{name}", String({value}));'
        for name, value in step.keeps.items()
    ]
    rest += [
        f'pm.test("{step.name}: {name}", () => pm.expect({true}).to.equal(true));' for name, true in step.holds.items()
    ]
    if not step.until:
        return [*lines, *rest]
    return [
        *lines,
        'const tries = Number(pm.collectionVariables.get("tries"));',
        f"if (pm.response.code < 500 && !({step.until}) && tries < {MOST_TRIES}) {{",
        '  pm.collectionVariables.set("tries", tries + 1);',
        f"  setTimeout(() => {{}}, {TRY_EVERY_MS});",
        "  pm.execution.setNextRequest(pm.info.requestName);",
        "} else {",
        '  pm.collectionVariables.set("tries", 0);',
        "  " + _test(f"{step.name}: it came in time", f"pm.expect({step.until}).to.equal(true)"),
        *(f"  {line}" for line in rest),
        "}",
    ]


def _test(name: str, expectation: str) -> str:
    return f"pm.test({json.dumps(name)}, () => {expectation});"


def _check(name: str, statuses: str) -> str:
    return _test(name, f"pm.expect(pm.response.code, pm.response.text()).to.be.oneOf([{statuses}])")


def _rest(calls: dict[str, Json]) -> Json:
    folders: dict[str, list[Json]] = {}
    for name, operation in calls.items():
        method, path = name.split(" ", 1)
        said = ", ".join(sorted(operation["responses"]))
        check = [_check(f"{name}: as the document has it", said)]
        item = _item(name, method, path, operation, body=_example_body(operation), after=check)
        folders.setdefault(operation.get("tags", ["other"])[0], []).append(item)
    return {
        "name": REST,
        "description": "With the examples of the document. Each must answer as the document has it, which for some of "
        "them is a refusal: the link of an e-mail is not here, and an ordinary user is no admin.",
        "item": [{"name": tag, "item": items} for tag, items in folders.items()],
    }


def _example_body(operation: Json) -> str | None:
    form = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if form is None:
        return None
    body = {
        name: f"{{{{{'password' if 'password' in name else name}}}}}" if name in OWN else value
        for name, value in form["example"].items()
    }
    return json.dumps(body, indent=2)


def _item(
    name: str,
    method: str,
    path: str,
    operation: Json,
    *,
    body: str | None = None,
    headers: dict[str, str] | None = None,
    caller: Caller = "me",
    before: list[str] | None = None,
    after: list[str],
) -> Json:
    address = path if path.startswith("{{") else "{{base_url}}" + path.replace("{", "{{").replace("}", "}}")
    request: Json = {
        "method": method,
        "header": [{"key": key, "value": value} for key, value in (headers or {}).items()],
    }
    if body is not None:
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}
    if caller == "nobody" or (operation and not operation.get("security")):
        request["auth"] = {"type": "noauth"}
    elif caller == "key":
        request["auth"] = _bearer("{{api_key}}")
    request["url"] = address
    if said := operation.get("description") or operation.get("summary"):
        request["description"] = said.replace("<br/>", "\n")
    events = [("prerequest", before or []), ("test", after)]
    return {
        "name": name,
        "id": _id(name),
        "event": [
            {"listen": when, "script": {"type": "text/javascript", "exec": lines}} for when, lines in events if lines
        ],
        "request": request,
        "response": list(_answers(operation, request)),
    }


def _answers(operation: Json, request: Json) -> Iterator[Json]:
    """The successes of the document, to look at."""
    shown = {name: value for name, value in request.items() if name in ("method", "header", "url", "body")}
    for status, answer in operation.get("responses", {}).items():
        form = answer.get("content", {}).get("application/json", {})
        if "example" in form:
            yield {
                "name": f"{status} {answer['description']}",
                "originalRequest": shown,
                "status": answer["description"],
                "code": int(status),
                "header": [{"key": "Content-Type", "value": "application/json"}],
                "body": json.dumps(form["example"], indent=2),
            }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z]+", "-", name.lower()).strip("-")


def _bearer(token: str) -> Json:
    return {"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]}


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"urn:coinop:collection:{name}"))
