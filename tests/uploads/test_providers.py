"""How providers come by pictures: through their call, once for each attempt, by upload or by address."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import select

from config import settings
from models import jobs
from models.database import sessions
from models.jobs import Claim, Job
from models.kinds import Kind, parse_input
from models.pictures import Picture
from tasks.generation import run as run_job
from tests.http.conftest import Caller
from tests.unit.fake_call import INPUTS, FakeCall, failure, run
from tests.uploads.bringing import ask, bring, brought, stored
from tests.uploads.drawings import PLACE, exif, picture, pixels, png_with
from tests.uploads.servers import NAME, Guide, Server, answer, authority, saying
from worker import pictures
from worker.ai.mock import MOST_PIXELS
from worker.ai.provider import Artefact, ProviderError, Refused, Text, Unavailable
from worker.decoding import examine
from worker.leases import Lease
from worker.storage import storage

URL = f"https://{NAME}/cat.png"


@pytest.fixture
def guide(tmp_path: Path) -> Iterator[Guide]:
    """Who leads workers to a server of ours, whatever public address they are to fetch."""
    ca, file = authority(tmp_path)
    with Server(saying(answer(picture())), ca.issue_cert(NAME)).running() as server:
        made = Guide(server, file)
        with mock.patch("worker.fetching.way_out", return_value=made.way):
            yield made


def lease(caller: Caller, **values: Any) -> Lease:
    """An attempt at a job with this input."""
    submitted = ask(caller, **values)
    assert submitted.status_code == 202, submitted.json
    with sessions() as session:
        claim = jobs.claim(session, UUID((submitted.json or {})["id"]), lease_seconds=30)
    assert isinstance(claim, Claim)
    return Lease(claim, timeout=30.0)


def trouble(held: Lease) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        held.picture()
    return raised.value


def image_of(output: Any) -> tuple[int, int]:
    assert isinstance(output, Artefact)
    with Image.open(io.BytesIO(output.data)) as opened:
        return opened.size


# By upload


def test_an_upload_is_read_once_for_each_attempt(caller: Caller) -> None:
    data = picture("image/jpeg", (41, 29))
    upload: dict[str, Any] = bring(caller, data, "image/jpeg").json or {}
    held = lease(caller, upload=upload["id"])
    with mock.patch("worker.pictures.of_job", side_effect=pictures.of_job) as asked:
        found = held.picture()
        assert held.picture() is found
    assert asked.call_count == 1
    assert (found.media_type, found.width, found.height, found.sha256) == ("image/jpeg", 41, 29, upload["sha256"])
    assert pixels(found.data) == pixels(data)


def test_an_upload_that_was_deleted_meanwhile_is_still_read(caller: Caller) -> None:
    upload = brought(caller)
    held = lease(caller, upload=upload["id"])
    assert caller.client.delete(f"/v1/uploads/{upload['id']}", headers=caller.headers).status_code == 204
    assert held.picture().sha256 == upload["sha256"]


def test_an_upload_whose_file_or_row_is_gone_is_told_for_good(caller: Caller) -> None:
    upload = brought(caller)
    held = lease(caller, upload=upload["id"])
    [key] = stored()
    with mock.patch.object(Path, "read_bytes", side_effect=PermissionError):
        assert (type(trouble(held)), trouble(held).code) == (Unavailable, "image_unavailable")
    storage().delete(key)
    assert (type(trouble(held)), trouble(held).code) == (Refused, "image_unavailable")
    with sessions() as session:
        session.connection().exec_driver_sql("DELETE FROM uploads")
    assert (type(trouble(held)), trouble(held).code) == (Refused, "image_unavailable")


def test_a_job_reads_no_upload_of_another_user(caller: Caller, sign_up: Any) -> None:
    """No request can bring this about; should a row ever say so all the same, nothing is read."""
    mine, theirs = brought(caller), brought(sign_up())
    held = lease(caller, upload=mine["id"])
    with pytest.raises(Refused):
        pictures.of_job(held.job_id, {"upload": theirs["id"]}, seconds=5)


# By address


def test_an_address_is_fetched_once_and_looked_at_like_an_upload(caller: Caller, guide: Guide) -> None:
    data = picture("image/jpeg", (41, 29), exif=exif(6))
    guide.server.script = saying(answer(data))
    held = lease(caller, image_url=URL)
    assert guide.server.connections == 0, "nobody has asked for it"
    found = held.picture()
    assert held.picture() is found
    assert (found.media_type, found.width, found.height) == ("image/jpeg", 41, 29)
    assert PLACE.encode() not in found.data
    assert guide.server.paths == ["/cat.png"]


@pytest.mark.parametrize(
    "data",
    [b"<svg/>", b"", picture()[:-5], png_with(data=b"\0"), png_with(width=30_000, height=30_000)],
    ids=["svg", "empty", "cut off", "cannot be decoded", "huge"],
)
def test_what_is_no_picture_is_refused_for_good(caller: Caller, guide: Guide, data: bytes) -> None:
    guide.server.script = saying(answer(data))
    error = trouble(lease(caller, image_url=URL))
    assert (type(error), error.code) == (Refused, "image_refused")
    assert "will not do" in error.message


def test_no_more_is_fetched_than_may_be_uploaded(caller: Caller, guide: Guide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "1024")
    settings.cache_clear()
    guide.server.script = saying(answer(bytes(1025)))
    error = trouble(lease(caller, image_url=URL))
    assert (error.code, "larger than 1024 bytes" in error.message) == ("image_refused", True)


def test_a_job_whose_picture_cannot_be_had_is_refunded_with_the_reason(caller: Caller, guide: Guide) -> None:
    class Curious:
        def generate(self, call: Any) -> Any:
            return call.picture()

    guide.server.script = saying(answer(status="404 Not Found"))
    submitted: dict[str, Any] = ask(caller, image_url=URL).json or {}
    with mock.patch("worker.ai.provider", return_value=Curious()):
        run_job(submitted["id"])
    job: dict[str, Any] = caller.get(submitted["urls"]["get"]).json or {}
    assert (job["status"], job["error"]["code"], job["cost"]["refunded"]) == (
        "failed", "image_unavailable", job["cost"]["held"],
    )  # fmt: skip
    assert "404" in job["error"]["message"]
    guide.server.script = saying(answer(status="503 Later"))
    submitted = ask(caller, image_url=URL).json or {}
    with mock.patch("worker.ai.provider", return_value=Curious()):
        run_job(submitted["id"])
    assert (caller.get(submitted["urls"]["get"]).json or {})["status"] == "queued", "it is tried again"


# The mock provider


def call_for(kind: Kind, data: bytes, **values: Any) -> FakeCall:
    """A call that begins with this picture as an upload."""
    given = {name: value for name, value in INPUTS[kind].items() if name != "image_url"}
    given = {**given, "upload": "0190b6a0-0000-7000-8000-0000000000aa", **values}
    return FakeCall(kind, parse_input(kind, given).stored(), upload=examine(data))


@pytest.mark.parametrize("scale", [2, 4])
def test_an_upload_is_upscaled_from_its_real_size(scale: int) -> None:
    made = run(call_for(Kind.upscale, picture("image/webp", (41, 29)), scale=scale))
    assert image_of(made.outputs[0]) == (41 * scale, 29 * scale)


def test_an_edited_upload_keeps_its_size() -> None:
    assert image_of(run(call_for(Kind.image_edit, picture("image/gif", (41, 29)))).outputs[0]) == (41, 29)


def test_vision_says_how_large_an_upload_is() -> None:
    [output] = run(call_for(Kind.vision, picture("image/jpeg", (41, 29)))).outputs
    assert isinstance(output, Text)
    assert output.text.endswith("It is 41 pixels wide and 29 high.")


@pytest.mark.parametrize("kind", [Kind.vision, Kind.image_edit, Kind.upscale, Kind.lipsync])
def test_what_is_made_of_an_upload_follows_from_the_picture(kind: Kind) -> None:
    one = picture(seed=1)
    made = run(call_for(kind, one))
    assert run(call_for(kind, one, upload="0190b6a0-0000-7000-8000-0000000000bb")).outputs == made.outputs
    assert any(run(call_for(kind, picture(seed=n))).outputs != made.outputs for n in (2, 3, 4))


def test_nothing_larger_is_made_than_the_mock_can_make_quickly() -> None:
    class Huge(Picture):
        """As large as a setting might allow."""

    call = FakeCall(
        Kind.upscale, {"upload": "x", "scale": 4}, upload=Huge("image/png", 10_000, MOST_PIXELS // 10_000, b"x")
    )
    assert failure(call).code == "image_refused"


def test_the_mock_fetches_nothing(caller: Caller, guide: Guide) -> None:
    submitted: dict[str, Any] = ask(caller, image_url=URL).json or {}
    run_job(submitted["id"])
    job: dict[str, Any] = caller.get(submitted["urls"]["get"]).json or {}
    assert job["status"] == "completed", job
    assert (guide.asked, guide.server.connections) == ([], 0)


def test_from_the_upload_to_the_larger_picture(caller: Caller) -> None:
    upload = brought(caller, "image/jpeg", size=(41, 29))
    submitted: dict[str, Any] = ask(caller, upload=upload["id"]).json or {}
    run_job(submitted["id"])
    job: dict[str, Any] = caller.get(submitted["urls"]["get"]).json or {}
    assert (job["status"], job["cost"]["charged"]) == ("completed", job["cost"]["held"])
    with Image.open(io.BytesIO(caller.get(job["outputs"][0]["url"]).data)) as made:
        assert made.size == (82, 58)
    with sessions() as session:
        assert session.scalars(select(Job.input)).one()["upload"] == upload["id"]
