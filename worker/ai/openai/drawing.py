"""Drawing: pictures from words, and from a picture and words.

What comes is passed on byte for byte, with the marks of where it comes from, once it is seen to be a picture of the
size that was ordered. 512x512 is less than the models draw: they draw it at 1024x1024, and it is scaled down.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from openai import Omit, OpenAI, omit
from openai._legacy_response import LegacyAPIResponse
from openai.types import ImagesResponse
from pydantic import BaseModel

from config import settings
from models import pictures
from models.errors import PictureRefused
from models.pictures import Picture
from worker.ai.openai.errors import bad_answer, known_as, our_errors, told
from worker.ai.provider import Artefact, Call, Generation, Refused
from worker.decoding import scaled

DRAWN_AT = {"512x512": "1024x1024"}
"""Sizes that are ordered larger, with the same proportions, and scaled down."""

OPENAIS_OWN = ("gpt-image-", "chatgpt-image-")
"""How OpenAI's models begin. They answer with the picture itself, and refuse to be told so; others are told."""

EDITABLE = ("image/png", "image/jpeg", "image/webp")


class _Image(BaseModel):
    b64_json: str | None = None


class _Usage(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0


class _Images(BaseModel):
    """The part of an answer that we read."""

    data: list[_Image] | None = None
    usage: _Usage | None = None

    def ours(self) -> dict[str, int]:
        return {**(self.usage.model_dump() if self.usage else {}), "images": len(self.data or ())}


def draw(client: OpenAI, call: Call, model: str) -> Generation:
    ordered: str = call.input["size"]
    drawn = DRAWN_AT.get(ordered, ordered)
    with our_errors():
        response = client.images.with_raw_response.generate(
            model=model, prompt=call.input["prompt"], size=drawn, n=1, response_format=_form(model)
        )
        made = _Images.model_validate_json(response.http_response.content)
    picture = _picture(made)
    if f"{picture.width}x{picture.height}" != drawn:
        why = f"the picture has {picture.width} × {picture.height} pixels, ordered were {drawn}"
        raise told(bad_answer(why, made.ours()))
    if drawn != ordered:
        picture = _scaled(picture, made, *map(int, ordered.split("x")))
    return _delivered(picture, made, response)


def redraw(client: OpenAI, call: Call, original: Picture, model: str) -> Generation:
    if original.media_type not in EDITABLE:
        raise Refused("image_refused", "The provider changes PNG, JPEG and WebP; this is another format.")
    file = (f"picture.{pictures.ENDINGS[original.media_type]}", original.data, original.media_type)
    with our_errors():
        response = client.images.with_raw_response.edit(
            model=model, image=file, prompt=call.input["prompt"], n=1, response_format=_form(model)
        )
        made = _Images.model_validate_json(response.http_response.content)
    return _delivered(_picture(made), made, response)


def _form(model: str) -> Literal["b64_json"] | Omit:
    return omit if model.startswith(OPENAIS_OWN) else "b64_json"


def _picture(made: _Images) -> Picture:
    """The picture in an answer, seen to be one."""
    try:
        data = base64.b64decode((made.data or [_Image()])[0].b64_json or "", validate=True)
        seen = pictures.read(data, most_pixels=settings().max_image_pixels)
    except (binascii.Error, PictureRefused):
        raise told(bad_answer("there is no picture in it", made.ours())) from None
    return Picture(seen.media_type, seen.width, seen.height, data)


def _scaled(picture: Picture, made: _Images, width: int, height: int) -> Picture:
    try:
        return scaled(picture, width, height)
    except PictureRefused:
        raise told(bad_answer("the picture in it is damaged", made.ours())) from None


def _delivered(picture: Picture, made: _Images, response: LegacyAPIResponse[ImagesResponse]) -> Generation:
    return Generation(
        (Artefact(picture.media_type, picture.data),),
        made.ours(),
        request_id=known_as(response.headers.get("x-request-id")),
    )
