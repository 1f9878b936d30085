"""What a storage promises, asked of both: the folder, and S3 over HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from config import Settings, settings
from tests.outputs import s3
from worker.storage import Folder, Storage, StorageUnavailable
from worker.storage.s3 import Bucket, client

PICTURE = b"\x89PNG" + bytes(range(256)) * 8


def made(settings: Settings) -> Bucket:
    """The bucket of other settings than the test's."""
    url = urlsplit(settings.storage_url)
    return Bucket(client(settings), url.netloc, prefix=url.path.strip("/"))


def there(stored: Storage) -> set[str]:
    return set(stored.older_than(None, seconds=-3600))


def fill(stored: Storage) -> None:
    for key in ("job-1/1/0", "job-1/2/0", "job-11/1/0", "uploads/ann/a", "uploads/bob/b"):
        stored.put(key, key.encode())


def test_what_is_put_is_read_whole_and_in_part(stored: Storage) -> None:
    stored.put("job/1/0", PICTURE, media_type="image/png")
    assert stored.read("job/1/0") == PICTURE
    opened = stored.open("job/1/0")
    with opened.file as file:
        assert opened.size == len(PICTURE)
        assert file.seekable()
        file.seek(1000)
        assert file.read(5) == PICTURE[1000:1005]
        assert file.read(5) == PICTURE[1005:1010]
        file.seek(2)
        assert file.read() == PICTURE[2:]
        assert file.read() == b""
    stored.put("job/1/1", b"")
    assert stored.read("job/1/1") == b""
    with stored.open("job/1/1").file as file:
        assert file.read() == b""


def test_what_is_not_there_is_told(stored: Storage) -> None:
    fill(stored)
    for key in ("job-1/1/1", "job-2/1/0", "job-1/1", "job-1/1/0/0"):
        for verb in (stored.read, stored.open):
            with pytest.raises(FileNotFoundError):
                verb(key)


def test_what_is_deleted_is_gone_and_nothing_else_is(stored: Storage) -> None:
    fill(stored)
    for _ in range(2):
        stored.delete("uploads/ann/a", "job-11/1/0")
        assert there(stored) == {"job-1/1/0", "job-1/2/0", "uploads/bob/b"}
    stored.delete()
    for _ in range(2):
        stored.delete_all("job-1")
        assert there(stored) == {"uploads/bob/b"}
    stored.put("job-1/3/0", b"again")
    assert stored.read("job-1/3/0") == b"again"


def test_files_are_found_by_age_and_place(stored: Storage) -> None:
    fill(stored)
    assert set(stored.older_than("uploads", seconds=-3600)) == {"uploads/ann/a", "uploads/bob/b"}
    assert set(stored.older_than("job-1", seconds=-3600)) == {"job-1/1/0", "job-1/2/0"}
    assert list(stored.older_than(None, seconds=3600)) == []
    assert list(stored.older_than("nothing", seconds=-3600)) == []


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "job/../../../x", "/job"])
def test_no_key_leads_outside(stored: Storage, key: str) -> None:
    verbs: tuple[Callable[[str], Any], ...] = (
        stored.read, stored.open, stored.delete, stored.delete_all, lambda key: stored.put(key, b"x"),
        lambda key: next(stored.older_than(key, seconds=0)),
    )  # fmt: skip
    for verb in verbs:
        with pytest.raises(ValueError, match="not inside the storage"):
            verb(key)


def test_many_threads_share_one(stored: Storage) -> None:
    def one(number: int) -> bytes:
        stored.put(f"job/{number}/0", bytes([number]))
        return stored.read(f"job/{number}/0")

    with ThreadPoolExecutor(24) as threads:
        assert list(threads.map(one, range(72))) == [bytes([number]) for number in range(72)]
    stored.delete(*(f"job/{number}/0" for number in range(72)))
    assert there(stored) == set()


def test_a_folder_that_is_taken_away_while_somebody_begins_to_write_is_made_again(folder: Storage) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            folder.put("job/1/0", b"x")
            folder.delete("job/1/0")

    other = threading.Thread(target=churn)
    other.start()
    try:
        for number in range(200):
            folder.put(f"job/1/{number + 1}", b"x")
            folder.delete(f"job/1/{number + 1}")
    finally:
        stop.set()
        other.join()
    assert there(folder) == set()


def test_a_disk_that_refuses_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"x")
    stored = Folder(tmp_path / "a file")
    with pytest.raises(StorageUnavailable, match="The disk refused: ENOTDIR"):
        stored.put("job/1/0", b"x")
    stored = Folder(tmp_path / "files")
    full = mock.patch("os.fsync", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(StorageUnavailable, match="ENOSPC"):
        stored.put("job/1/0", b"x")
    assert there(stored) == set(), "half a file is not left behind"
    stored.put("job/1/0", b"x")
    with mock.patch.object(Path, "open", side_effect=PermissionError(13, "no")), pytest.raises(StorageUnavailable):
        stored.open("job/1/0")


def test_s3_keeps_to_its_prefix_and_says_what_a_file_is(bucket: Storage, service: s3.Service) -> None:
    bucket.put("job/1/0", PICTURE, media_type="image/png")
    [put] = service.seen
    assert put.endswith("/job/1/0")
    assert put.startswith("PUT /a-bucket-of-tests/kept/")
    link = bucket.link("job/1/0", seconds=90, method="GET", media_type="image/png", name="a.png")
    assert link is not None
    answer = httpx.get(link)
    assert (answer.content, answer.headers["Content-Type"]) == (PICTURE, "image/png")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.png"'
    assert answer.headers["Cache-Control"] == "private, max-age=90", "a browser need not fetch it twice"
    part = httpx.get(link, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, PICTURE[4:8])
    asked = parse_qs(urlsplit(link).query)
    assert (asked["X-Amz-Expires"], asked["X-Amz-Algorithm"]) == (["90"], ["AWS4-HMAC-SHA256"])
    assert "a-secret" not in link


def test_a_folder_hands_nothing_out(folder: Storage) -> None:
    assert folder.link("job/1/0", seconds=90, method="GET", media_type="image/png", name="a.png") is None


def test_s3_checks_what_arrives(bucket: Storage, service: s3.Service) -> None:
    service.spoils = True
    with pytest.raises(StorageUnavailable, match="BadDigest"):
        bucket.put("job/1/0", PICTURE)
    with pytest.raises(FileNotFoundError):
        bucket.read("job/1/0")


def test_s3_fetches_only_what_is_read(bucket: Storage, service: s3.Service) -> None:
    bucket.put("job/1/0", PICTURE)
    service.seen.clear()
    opened = bucket.open("job/1/0")
    assert [each.split()[0] for each in service.seen] == ["HEAD"]
    opened.file.seek(len(PICTURE))
    assert opened.file.read(10) == b""
    opened.file.close()
    assert len(service.seen) == 1


def test_s3_that_is_away_is_told_in_time(bucket: Storage, service: s3.Service) -> None:
    bucket.put("job/1/0", PICTURE)
    service.refuses = lambda _: True
    with mock.patch("time.sleep"):
        for verb in (bucket.read, bucket.open, bucket.delete, bucket.delete_all, lambda key: bucket.put(key, b"x")):
            service.seen.clear()
            with pytest.raises(StorageUnavailable):
                verb("job/1/0")
            assert 1 <= len(service.seen) <= 3
    service.refuses = lambda request: request.method == "POST"
    with mock.patch("time.sleep"), pytest.raises(StorageUnavailable):
        bucket.delete("job/1/0")


def test_s3_that_nobody_answers_for_is_told(bucket: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens there
        other = settings().model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        with mock.patch("time.sleep"), pytest.raises(StorageUnavailable) as refused:
            made(other).put("job/1/0", b"x")
    assert str(refused.value) == "S3 did not answer: EndpointConnectionError."


def test_a_bucket_that_is_not_there_is_no_missing_file(bucket: Storage) -> None:
    other = settings().model_copy(update={"storage_url": "s3://another-bucket"})
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        made(other).read("job/1/0")


def test_credentials_of_aws_s_own_places_do(bucket: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMAWS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    other = settings().model_copy(update={"s3_access_key_id": "", "s3_secret_access_key": None})
    link = made(other).link("job/1/0", seconds=90, method="HEAD", media_type="image/png", name="a")
    assert parse_qs(urlsplit(link).query)["X-Amz-Credential"][0].startswith("AKIAFROMAWS/")


def test_without_an_endpoint_it_is_amazon_s(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "storage_url": "s3://a-bucket/x",
        "s3_region": "eu-central-1",
        "s3_access_key_id": "a",
        "s3_secret_access_key": "b",
    }
    chosen = Settings.model_validate({**settings().model_dump(), **given})
    link = made(chosen).link("job/1/0", seconds=90, method="GET", media_type="image/png", name="a")
    assert link.startswith("https://a-bucket.s3.amazonaws.com/x/job/1/0?")


def test_the_front_door_does_not_load_what_it_does_not_need() -> None:
    asked = "import sys, worker.storage; worker.storage.storage(); print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
