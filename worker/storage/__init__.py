"""Storage: where files live. `STORAGE_URL` says which: a folder that web and workers share, or a bucket (S3).

A key is written once and never changed: it carries the attempt, so a stale attempt cannot overwrite the result of the
one that counts. Keys are paths: `<job>/<attempt>/<n>` is what a job made, `uploads/<user>/<upload>` what a user
brought along.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config import settings
from worker.storage.folder import Folder
from worker.storage.meaning import Opened, Storage, StorageUnavailable

__all__ = ["Folder", "Opened", "Storage", "StorageUnavailable", "storage"]


@cache
def storage() -> Storage:
    """The storage of the settings. Asks it nothing yet; any number of threads share one."""
    url = urlsplit(settings().storage_url)
    if url.scheme == "s3":
        # The library takes a fifth of a second to load and some 30 MB: only for those who store there.
        from worker.storage.s3 import Bucket

        return Bucket.of(settings())
    return Folder(Path(unquote(url.path)))
