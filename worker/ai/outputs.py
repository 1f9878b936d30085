"""Outputs: what a provider made, put where it belongs: words in the job's row, files in storage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from models.jobs import Claim
from worker.ai.provider import Analysis, Output, Text
from worker.storage import storage


def store(claim: Claim, outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Keep the outputs of an attempt and return their description for the job's row, in order."""
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
    storage().put(key, output.data)
    return {
        "type": "file",
        "media_type": output.media_type,
        "size": len(output.data),
        "sha256": hashlib.sha256(output.data).hexdigest(),
        "key": key,
    }
