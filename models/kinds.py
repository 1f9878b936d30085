"""Kinds: which code runs an action, and what each accepts as input.

An action in the catalog names a kind; the kind fixes the shape of `input`. Unknown fields and wrong values are
refused by name. Sizes are generous for people and small for abuse. What a price may look at are the quantities of an
input (whole numbers, given or estimated) and its choices (fields with a fixed set of values).

`spend` is the kind that runs nothing: it charges for something the product does itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import ceil
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from models.errors import InvalidInput
from models.prices import Measured
from models.public_urls import PublicUrl


class Kind(StrEnum):
    chat = "chat"
    vision = "vision"
    image = "image"
    image_edit = "image_edit"
    upscale = "upscale"
    video = "video"
    speech = "speech"
    lipsync = "lipsync"


SPEND: Literal["spend"] = "spend"
"""The kind of an action that runs no job."""

AnyKind = Kind | Literal["spend"]

CHARACTERS_PER_SECOND = 15
"""How fast a text is spoken, to estimate how long it will take: 150 words a minute, the usual pace of an audiobook, at
six characters a word with its space."""

LONGEST_SECONDS = 600


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


Words = StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000)
Prompt = Annotated[str, Words, AfterValidator(_storable)]


def _once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("expected each add-on once")
    return names


AddonName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_SECONDS)]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)
]


class Input(BaseModel):
    """The input of one kind. `addons` are names out of the action's add-ons."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[AnyKind]
    quantities: ClassVar[tuple[str, ...]] = ()
    """The names of what `measure` counts."""

    addons: Annotated[tuple[AddonName, ...], Field(max_length=20), AfterValidator(_once_each)] = ()

    @classmethod
    def choices(cls) -> dict[str, Sequence[str]]:
        """The fields with a fixed set of values, and these values."""
        return {
            name: tuple(str(value) for value in get_args(field.annotation))
            for name, field in cls.model_fields.items()
            if get_origin(field.annotation) is Literal
        }

    def measure(self) -> Measured:
        """What a price may look at."""
        chosen = {name: str(getattr(self, name)) for name in self.choices()}
        return Measured({name: getattr(self, name) for name in self.quantities}, chosen)

    def stored(self) -> dict[str, Any]:
        """Plain JSON values, as a job keeps them and its provider sees them."""
        values = self.model_dump(mode="json")
        if not self.addons:
            del values["addons"]
        return values


class ChatInput(Input):
    """A conversation or question to analyse; the answer comes with suggested replies."""

    kind = Kind.chat
    quantities = ("characters",)
    prompt: Prompt

    @property
    def characters(self) -> int:
        return len(self.prompt)


class PictureInput(Input):
    """What all kinds that begin with a picture have: the id of an `upload`, or an `image_url` to fetch it from."""

    upload: UUID | None = None
    image_url: Annotated[PublicUrl | None, Field(validate_default=True)] = None

    @field_validator("image_url")
    @classmethod
    def _one_of_both(cls, url: PublicUrl | None, info: ValidationInfo) -> PublicUrl | None:
        if "upload" in info.data and (url is None) == (info.data["upload"] is None):
            raise ValueError("expected either this or `upload`" + ("" if url is None else ", not both"))
        return url

    def stored(self) -> dict[str, Any]:
        return {name: value for name, value in super().stored().items() if value is not None}


class VisionInput(PictureInput):
    """A question about a picture."""

    kind = Kind.vision
    prompt: Prompt


class ImageInput(Input):
    """A picture from words."""

    kind = Kind.image
    prompt: Prompt
    size: Literal["512x512", "1024x1024", "1024x1536", "1536x1024"] = "1024x1024"


class ImageEditInput(PictureInput):
    """A picture from a picture and words."""

    kind = Kind.image_edit
    prompt: Prompt


class UpscaleInput(PictureInput):
    """The same picture, larger."""

    kind = Kind.upscale
    scale: Literal[2, 4] = 2


class VideoInput(Input):
    """A clip from words; `seconds` long."""

    kind = Kind.video
    quantities = ("seconds",)
    prompt: Prompt
    seconds: Seconds = 5
    resolution: Literal["720p", "1080p"] = "720p"


class SpeechInput(Input):
    """Spoken words. How many `seconds` they will take is estimated from the text."""

    kind = Kind.speech
    quantities = ("seconds", "characters")
    text: Prompt
    voice: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")] = "alloy"

    @property
    def characters(self) -> int:
        return len(self.text)

    @property
    def seconds(self) -> int:
        return ceil(len(self.text) / CHARACTERS_PER_SECOND)


class LipsyncInput(PictureInput):
    """A face that speaks the first `seconds` of a recording."""

    kind = Kind.lipsync
    quantities = ("seconds",)
    audio_url: PublicUrl
    seconds: Seconds = 10


class SpendInput(Input):
    """Something the product does itself: `quantity` of it (minutes, tips), at the caller's `level`; `reference` is the
    product's own name for what it was (a scenario, a companion)."""

    kind = SPEND
    quantities = ("quantity", "level")
    quantity: Annotated[int, Field(ge=1, le=100_000)] = 1
    level: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    reference: Reference | None = None


class Options(BaseModel):
    """What an action fixes about how its kind is done: the `model`, unless its provider's usual one will do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, StringConstraints(pattern=r"^[^\s,=]{1,200}$")] | None = None


class ChatOptions(Options):
    """How thorough the analysis is and how many replies it suggests."""

    depth: Literal["short", "long"] = "short"
    replies: Annotated[int, Field(ge=1, le=10)] = 3


ModelInput = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""What a model calls one of its inputs."""

ModelValue = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=1_000)]


class ModelOptions(Options):
    """How the inputs of one model are called, for backends on which each model calls them as it likes.

    `inputs` gives what we have (`values`) the model's name for it, or "" to keep it back; `fixed` is told to the model
    as it is.
    """

    values: ClassVar[tuple[str, ...]]

    inputs: dict[str, Literal[""] | ModelInput] = {}
    fixed: dict[ModelInput, ModelValue] = {}

    @field_validator("inputs")
    @classmethod
    def _of_what_there_is(cls, inputs: dict[str, str]) -> dict[str, str]:
        if unknown := [name for name in inputs if name not in cls.values]:
            raise ValueError(f"expected {', '.join(cls.values)}; there is no {', '.join(unknown)}")
        return inputs

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was said; an action that says nothing adds nothing to its jobs."""
        return {name: value for name, value in dump(self).items() if value}


class VideoOptions(ModelOptions):
    values = ("prompt", "seconds", "resolution")


class LipsyncOptions(ModelOptions):
    values = ("image", "audio", "seconds")


class UpscaleOptions(ModelOptions):
    values = ("image", "scale")


class ImageOptions(ModelOptions):
    values = ("prompt", "size", "width", "height", "aspect_ratio")


class ImageEditOptions(ModelOptions):
    values = ("prompt", "image")


OPTIONS: dict[str, type[Options]] = {
    Kind.chat: ChatOptions,
    Kind.video: VideoOptions,
    Kind.lipsync: LipsyncOptions,
    Kind.upscale: UpscaleOptions,
    Kind.image: ImageOptions,
    Kind.image_edit: ImageEditOptions,
}
"""The options of the kinds that have more than a model."""

INPUTS: dict[str, type[Input]] = {
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
        SpendInput,
    )
}


def parse_input(kind: AnyKind, raw: object) -> Input:
    """Check `raw` against the kind's model. Raises `InvalidInput`, each fault with its path under `input`."""
    try:
        return INPUTS[kind].model_validate(raw)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, under="input") from None


def parse_options(kind: AnyKind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Check an action's options, and return all there are as plain JSON values. Raises pydantic's `ValidationError`."""
    return OPTIONS.get(kind, Options).model_validate(raw).model_dump(mode="json", exclude_none=True)
