"""Storage: what is deleted is gone, and nothing else is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from worker.storage import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "files")
    for key in ("job-1/1/0", "job-1/2/0", "job-11/1/0", "uploads/ann/a", "uploads/bob/b"):
        made.put(key, key.encode())
    return made


def _there(folder: Folder) -> set[str]:
    return set(folder.older_than("job-1", seconds=-60)) | {
        key for top in ("job-11", "uploads") for key in folder.older_than(top, seconds=-60)
    }


def test_a_file_is_deleted_and_deleting_it_again_does_nothing(folder: Folder) -> None:
    for _ in range(2):
        folder.delete("uploads/ann/a")
        with pytest.raises(FileNotFoundError):
            folder.read("uploads/ann/a")
    assert folder.read("uploads/bob/b") == b"uploads/bob/b"


def test_all_under_a_prefix_is_deleted_and_no_neighbour(folder: Folder) -> None:
    for _ in range(2):
        folder.delete_all("job-1")
        assert _there(folder) == {"job-11/1/0", "uploads/ann/a", "uploads/bob/b"}
    folder.put("job-1/3/0", b"again")
    assert folder.read("job-1/3/0") == b"again"


@pytest.mark.parametrize("key", ["", ".", "..", "../files", "job-1/../..", "job-1/../../x", "{outside}"])
def test_nothing_outside_is_touched_nor_everything_at_once(folder: Folder, tmp_path: Path, key: str) -> None:
    """None of the keys leads further than this test's own folder, for a guard that is not there protects nothing."""
    (tmp_path / "x").write_text("a bystander")
    key = key.format(outside=tmp_path / "x")
    for verb in (
        folder.delete,
        folder.delete_all,
        folder.read,
        folder.open,
        lambda key: next(folder.older_than(key, seconds=0)),
    ):
        with pytest.raises(ValueError, match="not inside the storage folder"):
            verb(key)
    assert (tmp_path / "x").read_text() == "a bystander"
    assert len(_there(folder)) == 5


def test_files_are_found_by_their_age(folder: Folder, tmp_path: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / "files" / "uploads" / "ann" / "a", (an_hour_ago, an_hour_ago))
    assert list(folder.older_than("uploads", seconds=3000)) == ["uploads/ann/a"]
    assert list(folder.older_than("uploads", seconds=4000)) == []
    assert list(folder.older_than("nothing", seconds=0)) == []
