"""Kinds: which code runs an action, and what each accepts as input.

An action in the catalog names a kind; the kind fixes the shape of `input`. Unknown fields and wrong values are
refused by name. Sizes are generous for people and small for abuse.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.networks import HttpUrl, UrlConstraints

from models.errors import InvalidInput


class Kind(StrEnum):
    chat = "chat"
    vision = "vision"
    image = "image"
    image_edit = "image_edit"
    upscale = "upscale"
    video = "video"
    speech = "speech"
    lipsync = "lipsync"


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


Words = StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000)
Prompt = Annotated[str, Words, AfterValidator(_storable)]
SecureUrl = Annotated[HttpUrl, UrlConstraints(max_length=2_000, allowed_schemes=["https"])]


class Input(BaseModel):
    """The input of one kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[Kind]


class ChatInput(Input):
    """A conversation or question to analyse; the answer comes with suggested replies."""

    kind = Kind.chat
    prompt: Prompt


class VisionInput(Input):
    """A question about a picture."""

    kind = Kind.vision
    prompt: Prompt
    image_url: SecureUrl


class ImageInput(Input):
    """A picture from words."""

    kind = Kind.image
    prompt: Prompt
    size: Literal["512x512", "1024x1024", "1024x1536", "1536x1024"] = "1024x1024"


class ImageEditInput(Input):
    """A picture from a picture and words."""

    kind = Kind.image_edit
    prompt: Prompt
    image_url: SecureUrl


class UpscaleInput(Input):
    """The same picture, larger."""

    kind = Kind.upscale
    image_url: SecureUrl
    scale: Literal[2, 4] = 2


class VideoInput(Input):
    """A clip from words; `seconds` long."""

    kind = Kind.video
    prompt: Prompt
    seconds: Annotated[int, Field(ge=1, le=600)] = 5
    resolution: Literal["720p", "1080p"] = "720p"


class SpeechInput(Input):
    """Spoken words."""

    kind = Kind.speech
    text: Prompt
    voice: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")] = "alloy"


class LipsyncInput(Input):
    """A face that speaks a recording."""

    kind = Kind.lipsync
    image_url: SecureUrl
    audio_url: SecureUrl


INPUTS: dict[Kind, type[Input]] = {
    model.kind: model
    for model in (
        ChatInput,
        VisionInput,
        ImageInput,
        ImageEditInput,
        UpscaleInput,
        VideoInput,
        SpeechInput,
        LipsyncInput,
    )
}


def parse_input(kind: Kind, raw: object) -> dict[str, Any]:
    """Check `raw` against the kind's model and return it as plain JSON values.

    Raises `InvalidInput`, each fault with its path under `input`.
    """
    try:
        return INPUTS[kind].model_validate(raw).model_dump(mode="json")
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, under="input") from None
