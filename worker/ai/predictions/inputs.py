"""From our typed inputs to what a model calls them: the usual names, unless the action's options say others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd
from typing import Any

from models.kinds import Kind

NAMES: dict[str, dict[str, str]] = {
    Kind.video: {"prompt": "prompt", "seconds": "duration", "resolution": "resolution"},
    Kind.lipsync: {"image": "image", "audio": "audio"},
    Kind.upscale: {"image": "image", "scale": "scale"},
    Kind.image: {"prompt": "prompt", "aspect_ratio": "aspect_ratio"},
    Kind.image_edit: {"prompt": "prompt", "image": "image"},
}
"""For each kind that can be done, what we have and what most models call it. What else there is (`models/kinds.py`) is
told where an action gives it a name."""


def told(kind: str, values: Mapping[str, Any], picture: Callable[[], str]) -> dict[str, Any]:
    """What the model is told. `picture` gives the picture as the service takes it; only asked if it is told."""
    options = values.get("options", {})
    names = {**NAMES[kind], **options.get("inputs", {})}
    said = {theirs: _value(ours, values, picture) for ours, theirs in names.items() if theirs}
    return {**said, **options.get("fixed", {})}


def _value(name: str, values: Mapping[str, Any], picture: Callable[[], str]) -> Any:
    if name == "image":
        return picture()
    if name == "audio":
        return values["audio_url"]
    if name in ("width", "height", "aspect_ratio"):
        width, height = map(int, values["size"].split("x"))
        common = gcd(width, height)
        sizes = {"width": width, "height": height, "aspect_ratio": f"{width // common}:{height // common}"}
        return sizes[name]
    return values[name]
