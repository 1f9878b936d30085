"""Pictures: the one way in which the worker of a job comes by the picture that the job begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from config import settings
from models.database import readings
from models.errors import PictureRefused
from models.jobs import needs
from models.pictures import Picture
from worker.ai.provider import Refused, Unavailable
from worker.decoding import examine
from worker.fetching import fetch
from worker.storage import storage

FETCH_SECONDS = 30.0
"""How long fetching may take in all. With a provider's time it stays well below the limit of an attempt."""


def of_job(job_id: UUID, values: Mapping[str, Any], *, seconds: float) -> Picture:
    """The picture that the input of a job names, by upload or by address, within `seconds`.

    What is fetched is looked at as closely as what is uploaded, and freed of the same. Raises `Refused` with
    `image_unavailable` when it is gone or `image_refused` when it will not do, and `Unavailable`.
    """
    if "upload" in values:
        return _uploaded(job_id, UUID(values["upload"]))
    settled = min(seconds, FETCH_SECONDS)
    try:
        return examine(fetch(values["image_url"], most_bytes=settings().max_upload_bytes, seconds=settled))
    except PictureRefused as error:
        raise Refused("image_refused", f"What is at the address of the picture will not do. {error.detail}") from None


def _uploaded(job_id: UUID, upload_id: UUID) -> Picture:
    with readings() as session:
        upload = needs.upload_of(session, job_id=job_id, upload_id=upload_id)
    if upload is None:
        raise Refused("image_unavailable", "The upload is not there any more.")
    try:
        data = storage().read(upload.key)
    except FileNotFoundError:
        raise Refused("image_unavailable", "The upload is not there any more.") from None
    except OSError:
        raise Unavailable("image_unavailable", "The upload cannot be read at the moment.") from None
    return Picture(upload.media_type, upload.width, upload.height, data)
