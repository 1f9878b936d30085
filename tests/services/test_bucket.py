"""A running Coinop that stores in a bucket: a real web server and real workers, and S3 over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.outputs import s3
from tests.system.house import House, until
from tests.uploads.drawings import picture, pixels


def test_files_come_and_go_by_way_of_a_bucket(house: House, s3_house: s3.House) -> None:
    user = house.sign_up()
    data = picture("image/png", (41, 29))
    upload: dict[str, Any] = user.http.post("/v1/uploads", content=data, headers={"Content-Type": "image/png"}).json()
    job = user.ended(user.order({"action": "upscale", "input": {"upload": upload["id"], "scale": 2}}))
    assert job["status"] == "completed", job
    [file] = job["outputs"]
    whole = user.http.get(file["url"])
    assert (whole.status_code, len(whole.content)) == (200, file["size"])
    part = user.http.get(file["url"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    head = user.http.head(file["url"])
    assert (head.content, head.headers["Content-Length"]) == (b"", str(file["size"]))
    sent_on = httpx.get(file["download_url"])
    assert sent_on.status_code == 302
    assert sent_on.headers["Location"].startswith(f"{s3_house.address}/{s3.BUCKET}/whole/{job['id']}/")
    followed = httpx.get(file["download_url"], follow_redirects=True, headers={"Range": "bytes=1-3"})
    assert (followed.status_code, followed.content) == (206, b"PNG")
    assert pixels(user.http.get(upload["url"]).content) == pixels(data)

    assert user.http.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    assert user.http.delete(f"/v1/jobs/{job['id']}/outputs").status_code == 204
    assert httpx.get(file["download_url"]).status_code == 410
    until(lambda: s3_house.client.list_objects_v2(Bucket=s3.BUCKET, Prefix="whole/")["KeyCount"] == 0)

    # A bad day: what is made meanwhile is stored when it is over, and was never charged twice.
    s3_house.service.refuses = lambda request: request.method == "PUT"
    waiting = user.order({"action": "image", "input": {"prompt": "a red fox"}})
    until(lambda: any(each.startswith("PUT") and waiting["id"] in each for each in s3_house.service.seen))
    before = user.balance()
    s3_house.service.get_over_it()
    done = user.ended(waiting)
    assert (done["status"], done["cost"]["refunded"]) == ("completed", 0)
    assert user.balance()["available"] == before["available"]
