"""What a job made, fetched: with a token, and by a link that needs none; whole, in part, and not any more."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from unittest import mock
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from config import settings
from models.database import now, sessions
from models.users import User
from tests.http.conftest import Caller
from tests.outputs import making, s3
from tests.outputs.making import PICTURE, SHA256, WORDS
from web import links
from worker.storage import Storage, storage

WINDOW = 900
"""How long all links are the same, in seconds: a quarter of OUTPUT_URL_SECONDS."""


def path_of(url: str) -> str:
    assert url.startswith(f"{settings().public_url}/v1/outputs/")
    return urlsplit(url).path


def follow(client: FlaskClient, path: str, method: str = "GET", **headers: str) -> Any:
    """Fetch as a browser does for an `<img>`: with no token, and to wherever it is sent on to."""
    answer = client.open(path, method=method, headers=headers)
    if answer.status_code != 302:
        return answer
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    [seconds] = re.findall("private, max-age=([0-9]+)", answer.headers["Cache-Control"])
    assert 3600 - 60 <= int(seconds) <= 3600 + WINDOW
    return httpx.request(method, answer.headers["Location"], headers=headers)


def body(answer: Any) -> bytes:
    data: bytes = answer.data if isinstance(answer, TestResponse) else answer.content
    return data


def test_a_file_is_fetched_with_a_token(stored: Storage, caller: Caller, sign_up: Callable[[], Caller]) -> None:
    job = making.made(caller, WORDS, making.PNG)
    words, file = job["outputs"]
    assert words == {"index": 0, "type": "text", "text": WORDS.text}
    assert (file["media_type"], file["size"], file["sha256"]) == ("image/png", len(PICTURE), SHA256)
    assert (file["url"], file["deleted"]) == (f"/v1/jobs/{job['id']}/outputs/1", False)
    answer = caller.get(file["url"])
    assert (answer.status_code, answer.data, answer.content_type) == (200, PICTURE, "image/png")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={job['id']}-1.png"
    assert (answer.headers["Content-Length"], answer.headers["Accept-Ranges"]) == (str(len(PICTURE)), "bytes")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    etag = answer.headers["ETag"]
    assert caller.get(file["url"], **{"If-None-Match": etag}).status_code == 304
    head = caller.client.head(file["url"], headers=caller.headers)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(PICTURE)))

    for asked, given in (("bytes=4-7", PICTURE[4:8]), ("bytes=1000-", PICTURE[1000:]), ("bytes=-3", PICTURE[-3:])):
        part = caller.get(file["url"], Range=asked)
        assert (part.status_code, part.data) == (206, given)
        assert part.headers["Content-Length"] == str(len(given))
    assert part.headers["Content-Range"] == f"bytes {len(PICTURE) - 3}-{len(PICTURE) - 1}/{len(PICTURE)}"
    whole = caller.get(file["url"], Range="bytes=0-3", **{"If-Range": '"another"'})
    assert (whole.status_code, whole.data) == (200, PICTURE)
    assert caller.get(file["url"], Range="bytes=0-3", **{"If-Range": etag}).status_code == 206
    beyond = caller.get(file["url"], Range="bytes=5000-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(PICTURE)}")
    assert beyond.content_type == "application/problem+json"

    for path in (f"/v1/jobs/{job['id']}/outputs/0", f"/v1/jobs/{job['id']}/outputs/2"):
        assert caller.get(path).status_code == 404
    assert sign_up().get(file["url"]).status_code == 404
    assert caller.client.get(file["url"]).status_code == 401


def test_a_link_needs_no_token(stored: Storage, client: FlaskClient, caller: Caller) -> None:
    [file] = making.made(caller)["outputs"]
    path = path_of(file["download_url"])
    answer = follow(client, path)
    assert (answer.status_code, body(answer), answer.headers["Content-Type"]) == (200, PICTURE, "image/png")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    head = follow(client, path, "HEAD")
    assert (head.status_code, body(head), head.headers["Content-Length"]) == (200, b"", str(len(PICTURE)))
    part = follow(client, path, Range="bytes=4-7")
    assert (part.status_code, body(part)) == (206, PICTURE[4:8])
    assert follow(client, path, Range="bytes=4-7", **{"If-Range": answer.headers["ETag"]}).status_code == 206
    assert follow(client, path, Range="bytes=9000-").status_code == 416
    assert client.post(path).status_code == 405


def test_what_a_browser_is_told_of_a_link(folder: Storage, client: FlaskClient, caller: Caller) -> None:
    with mock.patch("time.time", return_value=1_800_000_000 - 1_800_000_000 % WINDOW + 60):
        [file] = making.made(caller)["outputs"]
        assert file["download_expires_at"] == "2027-01-15T09:15:00Z"
        answer = client.get(path_of(file["download_url"]))
        again = client.get(path_of(file["download_url"]), headers={"Range": "bytes=4-7", "If-Range": '"another"'})
    assert again.status_code == 200, "what they have a part of is another file"
    pages = answer.headers.getlist("Cross-Origin-Resource-Policy")
    assert pages == ["cross-origin"], "or no page but ours could show it"
    assert answer.headers["Cache-Control"] == f"private, max-age={3600 + WINDOW - 60}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_link_runs_out(stored: Storage, client: FlaskClient, caller: Caller) -> None:
    [file] = making.made(caller)["outputs"]
    path = path_of(file["download_url"])
    began = time.time()
    with mock.patch("time.time", return_value=began + 3600):
        assert client.get(path).status_code in (200, 302)
    with mock.patch("time.time", return_value=began + 3600 + WINDOW + 1):
        answer = client.get(path)
    assert (answer.status_code, (answer.json or {})["code"]) == (410, "link_expired")


def test_nobody_makes_or_changes_a_link(folder: Storage, client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    ada, eve = sign_up(), sign_up()
    [hers] = making.made(ada)["outputs"]
    job = making.made(eve)
    mine = path_of(job["outputs"][0]["download_url"])
    link = links.read(mine.rpartition("/")[2])
    assert link.job_id == UUID(job["id"])
    there = UUID(hers["url"].split("/")[3])
    good = mine.rpartition("/")[2]
    seal = urlsafe_b64decode(good)[links.SAID.size :]
    changed = [
        "", "x", "é", good[:-1], f"{good}A", f"{good}=", good[:-4], good[:40] + good[40:].swapcase(),
        # Another job, another output, another time, under the seal of one's own.
        *(
            urlsafe_b64encode(links.SAID.pack(other.job_id.bytes, other.index, other.expires_at) + seal).decode()
            for other in (
                links.Link(there, 0, link.expires_at), links.Link(link.job_id, 1, link.expires_at),
                links.Link(link.job_id, 0, link.expires_at + 1),
            )
        ),
    ]  # fmt: skip
    for each in changed:
        assert client.get(f"/v1/outputs/{each}").status_code == 404, each
    with mock.patch.dict("os.environ", SECRET_KEY="another secret that is long enough for this"):
        settings.cache_clear()
        assert client.get(mine).status_code == 404
    settings.cache_clear()
    assert client.get(mine).data == PICTURE
    # One that is signed well, but is to nothing.
    for nothing in (links.Link(UUID(int=7), 0, link.expires_at), links.Link(link.job_id, 3, link.expires_at)):
        assert client.get(f"/v1/outputs/{links.sign(nothing)}").status_code == 404


@pytest.mark.parametrize("column", ["suspended_at", "closing_at"])
def test_links_to_files_of_those_who_may_not_come_in_are_good_for_nothing(
    folder: Storage, client: FlaskClient, caller: Caller, column: str
) -> None:
    path = path_of(making.made(caller)["outputs"][0]["download_url"])
    assert client.get(path).status_code == 200
    with sessions() as session:
        session.execute(update(User).where(User.email == caller.email).values({column: now()}))
    assert client.get(path).status_code == 404


def test_a_poll_is_the_same_within_a_window_and_never_leaves_an_old_link(folder: Storage, caller: Caller) -> None:
    begin = int(time.time()) // WINDOW * WINDOW + 10 * WINDOW  # tokens are good for as long: see below
    with mock.patch("web.links.time.time", return_value=begin):
        job = making.made(caller)
        path = f"/v1/jobs/{job['id']}"
        first = caller.get(path)
        assert caller.get(path, **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    with mock.patch("web.links.time.time", return_value=begin + WINDOW - 1):
        last = caller.get(path)
        assert (last.data, last.headers["ETag"]) == (first.data, first.headers["ETag"])
        assert caller.get(path, **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    with mock.patch("web.links.time.time", return_value=begin + WINDOW):
        new = caller.get(path, **{"If-None-Match": first.headers["ETag"]})
        assert new.status_code == 200
        assert new.headers["ETag"] != first.headers["ETag"]
        assert new.json != first.json
        listed = (caller.get("/v1/jobs").json or {})["jobs"][0]
        assert listed == new.json


def test_a_job_without_files_is_the_same_for_ever(caller: Caller) -> None:
    job = making.made(caller, WORDS)
    first = caller.get(f"/v1/jobs/{job['id']}")
    with mock.patch("web.links.time.time", return_value=time.time() + 7 * 86_400):
        assert caller.get(f"/v1/jobs/{job['id']}", **{"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_a_file_that_was_lost_is_not_found(stored: Storage, caller: Caller) -> None:
    [file] = making.made(caller)["outputs"]
    storage().delete(*making.left())
    assert caller.get(file["url"]).status_code == 404


def test_a_storage_that_is_away_is_a_503(bucket: Storage, service: s3.Service, caller: Caller) -> None:
    [file] = making.made(caller)["outputs"]
    service.refuses = lambda _: True
    with mock.patch("time.sleep"):
        answer = caller.get(file["url"])
    assert (answer.status_code, (answer.json or {})["code"]) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "10"
    assert "127.0.0.1" not in answer.get_data(as_text=True)
