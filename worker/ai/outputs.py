"""Outputs: what a provider made, put where it belongs: words in the job's row, files in storage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import structlog

from models.jobs import Claim
from worker.ai.provider import Analysis, Output, Text, Unavailable
from worker.storage import StorageUnavailable, storage

log = structlog.get_logger(__name__)


def store(claim: Claim, outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Keep the outputs of an attempt and return their description for the job's row, in order.

    Raises `Unavailable` when the storage does not take them: nothing is charged, and a later attempt makes them again
    or, where the provider still has them, fetches them.
    """
    return [_store(claim, index, output) for index, output in enumerate(outputs)]


def _store(claim: Claim, index: int, output: Output) -> dict[str, Any]:
    if isinstance(output, Text):
        return {"type": "text", "text": output.text}
    if isinstance(output, Analysis):
        return {
            "type": "analysis",
            "text": output.summary,
            "tone": output.tone,
            "intent": output.intent,
            "advice": output.advice,
            "suggestions": list(output.suggestions),
        }
    key = f"{claim.job_id}/{claim.attempt}/{index}"
    try:
        storage().put(key, output.data, media_type=output.media_type)
    except StorageUnavailable as error:
        log.error("output_not_stored", job_id=str(claim.job_id), attempt=claim.attempt, error=str(error))
        raise Unavailable("storage_unavailable", "What was made could not be stored.") from None
    return {
        "type": "file",
        "media_type": output.media_type,
        "size": len(output.data),
        "sha256": hashlib.sha256(output.data).hexdigest(),
        "key": key,
    }
