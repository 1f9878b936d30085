"""From an upload to what is made of it, with a real web server, a real worker, and files where both find them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image

from config import settings
from tests.system.house import House, until
from tests.uploads.drawings import picture, pixels


def _chunks(data: bytes) -> Iterator[bytes]:
    """For a body that does not say how long it is."""
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


def test_an_upload_is_worked_on_and_its_file_goes_when_it_is_deleted(house: House) -> None:
    user = house.sign_up()
    data = picture("image/jpeg", (41, 29))
    sent = user.http.post("/v1/uploads", content=_chunks(data), headers={"Content-Type": "image/jpeg"})
    assert sent.status_code == 201, sent.text
    upload: dict[str, Any] = sent.json()
    assert user.http.post("/v1/uploads", files={"file": ("cat.jpg", data, "image/jpeg")}).status_code == 200
    job = user.ended(user.order({"action": "upscale", "input": {"upload": upload["id"], "scale": 2}}))
    assert job["status"] == "completed", job
    with Image.open(io.BytesIO(user.http.get(job["outputs"][0]["url"]).content)) as made:
        assert made.size == (82, 58)
    assert pixels(user.http.get(upload["url"]).content) == pixels(data)
    [file] = (house.home / "outputs" / "uploads").glob(f"*/{upload['id']}")
    assert user.http.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    until(lambda: not file.exists())


def test_a_web_server_stops_reading_what_is_too_long(house: House) -> None:
    user = house.sign_up()
    long = bytes(settings().max_upload_bytes + 1)
    for content in (long, _chunks(long)):
        sent = user.http.post("/v1/uploads", content=content, headers={"Content-Type": "image/png"})
        assert sent.status_code == 413
    assert user.http.get("/v1/uploads").json()["uploads"] == []
