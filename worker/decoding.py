"""Decoding: the proof that bytes are a picture, wherever they came from.

What a container says is looked at by `models/pictures/` at hardly any cost. Decoding is another matter: forty
megapixels take up to 600 MiB and three seconds, whoever made the file chose how, and decoders of pictures have had
holes. So it is done by a process of its own (`decoder.py`) with little time and memory, which a bad file may bring down
without anybody noticing. Starting it takes some 60 milliseconds of computing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore

import structlog

from config import settings
from models import pictures
from models.errors import PictureRefused
from models.pictures import Picture

log = structlog.get_logger(__name__)

PROGRAM = Path(__file__).with_name("decoder.py")
CANNOT_BE_DECODED = 1
HANDED_ON = ("PATH", "LD_LIBRARY_PATH")
"""Variables of the environment that the program may need to start. Our secrets are among the others."""

LONGEST_SECONDS = 60.0
"""How long it may take when the machine is so busy that its few seconds of computing take longer."""

BROUGHT_DOWN = frozenset(
    (signal.SIGXCPU, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP)
)
"""Signals that end a process for what it does itself. Any other comes from outside and says nothing of the picture."""

_room = BoundedSemaphore(2)
"""How many pictures each process has decoded at once: the others wait, and memory stays within bounds."""


def examine(data: bytes, *, declared: str | None = None) -> Picture:
    """The picture that these bytes are, proven, and without what is not the picture.

    `declared` is the media type that the sender says. Raises `PictureRefused`.
    """
    most_pixels = settings().max_image_pixels
    picture = pictures.read(data, most_pixels=most_pixels, declared=declared)
    with _room:
        _decode(picture, most_pixels)
    return picture


def scaled(picture: Picture, width: int, height: int) -> Picture:
    """The picture at exactly this size, as a PNG. Raises `PictureRefused` if it cannot be decoded."""
    with _room:
        data = _decode(picture, settings().max_image_pixels, width, height)
    return Picture("image/png", width, height, data)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in HANDED_ON if name in os.environ}


def _decode(picture: Picture, most_pixels: int, *size: int) -> bytes:
    """Decode a picture, and return what the program writes: nothing, or the picture at another size."""
    ending = pictures.ENDINGS[picture.media_type]
    name = {"jpg": "JPEG"}.get(ending, ending.upper())
    try:
        # Isolated (-I): neither this folder nor the environment has a say in what it imports.
        ended = subprocess.run(  # noqa: S603  # our own program with our own arguments
            [sys.executable, "-I", str(PROGRAM), name, str(most_pixels), *map(str, size)],
            input=picture.data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
            timeout=LONGEST_SECONDS, check=False,
        )  # fmt: skip
        code, written = ended.returncode, ended.stdout
    except subprocess.TimeoutExpired:
        code, written = -signal.SIGXCPU, b""
    if code == 0:
        return written
    if code != CANNOT_BE_DECODED and -code not in BROUGHT_DOWN:
        raise RuntimeError(f"the decoder ended with {code}")
    if code != CANNOT_BE_DECODED:
        log.warning("decoder_brought_down", signal=-code, media_type=picture.media_type, size=len(picture.data))
    raise PictureRefused("damaged", f"This {ending.upper()} is damaged: it cannot be decoded.")
