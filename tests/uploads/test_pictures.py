"""What is a picture: told from its bytes, measured before it is decoded, and freed of what is not the picture."""

from __future__ import annotations

import io
import random
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image, ImageCms

from models import pictures
from models.errors import PictureRefused
from models.pictures import ENDINGS, Picture
from tests.uploads.drawings import (
    FORMATS,
    PLACE,
    animated,
    chunk,
    exif,
    jpeg_with,
    many_scans,
    orientation,
    picture,
    pixels,
    png_with,
    save,
)
from worker import decoding
from worker.decoding import examine

MOST = 40_000_000
ALL = pytest.mark.parametrize("media_type", FORMATS)


def read(data: bytes, declared: str | None = None, most_pixels: int = MOST) -> Picture:
    return pictures.read(data, most_pixels=most_pixels, declared=declared)


def why(data: bytes, declared: str | None = None, most_pixels: int = MOST) -> str:
    with pytest.raises(PictureRefused) as refused:
        read(data, declared, most_pixels)
    return refused.value.why


# What it is


@ALL
def test_a_picture_is_told_from_its_bytes_and_measured(media_type: str) -> None:
    data = picture(media_type, (41, 29))
    found = read(data)
    assert (found.media_type, found.width, found.height) == (media_type, 41, 29)
    assert examine(data, declared=media_type) == found
    assert pixels(found.data) == pixels(data)


@pytest.mark.parametrize(
    ("media_type", "how"),
    [
        ("image/jpeg", {"progressive": True}),
        ("image/jpeg", {"restart_marker_rows": 1}),
        ("image/webp", {"lossless": True}),
        ("image/webp", {"exif": exif(1)}),
        ("image/png", {"dpi": (72, 72)}),
        ("image/gif", {"interlace": True}),
    ],
)
def test_other_ways_of_writing_them_are_read_as_well(media_type: str, how: dict[str, Any]) -> None:
    data = picture(media_type, (64, 64), **how)
    assert pixels(examine(data).data) == pixels(data)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_usual_kind_of_colour_is_read(mode: str) -> None:
    media_type = "image/jpeg" if mode == "CMYK" else "image/png"
    data = save(Image.new(mode, (5, 7)), media_type)
    assert (examine(data).width, examine(data).height) == (5, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7",
        b"BM\x46\x00\x00\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"\x00\x00\x00\x20ftypheic",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"GIF86a",
        b"<!doctype html>",
        b"\x00" * 1_000,
    ],
)
def test_everything_else_is_no_picture(data: bytes) -> None:
    assert why(data) == "format"


@ALL
def test_another_type_than_declared_is_refused_and_named(media_type: str) -> None:
    other = "image/png" if media_type != "image/png" else "image/gif"
    with pytest.raises(PictureRefused, match=f"declared as {other}, but what came is {media_type}") as refused:
        read(picture(media_type), declared=other)
    assert refused.value.members["why"] == "type"


def test_what_some_programs_call_a_jpeg_is_one() -> None:
    assert read(picture("image/jpeg"), declared="image/jpg").media_type == "image/jpeg"


# How large it is


@ALL
def test_as_many_pixels_as_are_allowed_and_not_one_more(media_type: str) -> None:
    data = picture(media_type, (40, 30))
    assert read(data, most_pixels=1200).width == 40
    assert why(data, most_pixels=1199) == "pixels"


def _claims(media_type: str, width: int, height: int) -> bytes:
    """A small file whose header says that it is huge."""
    if media_type == "image/png":
        return png_with(width=width, height=height, data=b"\0")
    data = bytearray(picture(media_type))
    if media_type == "image/gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif media_type == "image/webp":
        data[26:30] = struct.pack("<HH", width, height)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def test_a_picture_has_no_endless_side() -> None:
    assert read(png_with(width=1, height=65_535)).height == 65_535
    assert why(png_with(width=1, height=65_536)) == why(png_with(width=65_536, height=1)) == "pixels"


@ALL
def test_a_header_that_says_it_is_huge_is_enough_to_refuse_it(media_type: str) -> None:
    assert why(_claims(media_type, 16_000, 16_000)) == "pixels"


@ALL
def test_a_header_that_says_more_than_there_is_gains_nothing(media_type: str) -> None:
    data = _claims(media_type, 500, 400)
    if media_type in ("image/gif", "image/jpeg"):
        # A GIF may be smaller than its screen, and a JPEG whose data ends is grey from there on.
        assert (examine(data).width, examine(data).height) == (500, 400)
    else:
        with pytest.raises(PictureRefused) as refused:
            examine(data)
        assert refused.value.why == "damaged"


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0)])
@ALL
def test_no_pixels_are_no_picture(media_type: str, width: int, height: int) -> None:
    assert why(_claims(media_type, width, height)) == "damaged"


def test_a_flood_of_data_behind_a_small_header_is_no_more_than_the_header_says() -> None:
    """Pillow stops at the last row; what comes out is small, however much more would."""
    flood = png_with(width=10, height=10, data=bytes(50_000_000))
    assert len(flood) < 60_000
    assert examine(flood).width == 10


# What makes it dangerous


@pytest.mark.parametrize("media_type", ["image/png", "image/gif", "image/webp"])
@pytest.mark.parametrize("frames", [2, 3000])
def test_animations_are_refused_however_many_frames(media_type: str, frames: int) -> None:
    assert why(animated(media_type, frames)) == "animated"


def test_a_webp_that_only_says_it_is_animated_is_refused() -> None:
    data = bytearray(picture("image/webp", exif=exif(1)))
    data[20] |= 0x02
    assert why(bytes(data)) == "animated"


@ALL
def test_a_file_cut_off_anywhere_is_refused(media_type: str) -> None:
    data = picture(media_type)
    for length in [*range(12, 40), *range(40, len(data), 37), len(data) - 1]:
        assert why(data[:length]) in ("damaged", "format"), length


@ALL
def test_a_file_with_broken_bytes_is_refused_or_a_picture_and_nothing_else(media_type: str) -> None:
    """Whatever is done to it, no other exception comes out: what holds for one in a thousand holds for all."""
    data, chance = picture(media_type, (16, 16)), random.Random(media_type)
    for _ in range(1_500):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with suppress(PictureRefused):
            found = read(bytes(broken))
            assert found.width * found.height <= MOST


def test_the_decoder_is_told_no_secrets_and_brings_nobody_down(monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run
    ran: list[Any] = []

    def note(*command: Any, **how: Any) -> Any:
        ran.append(how["env"])
        return run(*command, **how)

    monkeypatch.setattr(subprocess, "run", note)
    examine(picture())
    assert set(ran[0]) <= {"PATH", "LD_LIBRARY_PATH"}
    for code, error, said in (
        (-signal.SIGSEGV, PictureRefused, "cannot be decoded"),
        (-signal.SIGXCPU, PictureRefused, "cannot be decoded"),
        (-signal.SIGKILL, RuntimeError, "ended with -9"),
        (127, RuntimeError, "ended with 127"),
    ):
        monkeypatch.setattr(subprocess, "run", lambda *_, code=code, **__: subprocess.CompletedProcess([], code))
        with pytest.raises(error, match=said):
            examine(picture())


@pytest.mark.parametrize(("least", "code"), [(256 * 2**20, 0), (0, 1)])
def test_the_decoder_has_only_so_much_memory(least: int, code: int) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(decoding.PROGRAM.parent)!r}); import decoder; "
        f"decoder.MEMORY, decoder.MEMORY_PER_PIXEL = 100 * 2**20 + {least}, 0; decoder.main('PNG', 100_000_000)"
    )
    large = png_with(width=10_000, height=9_000)
    ended = subprocess.run([sys.executable, "-I", "-c", program], input=large, capture_output=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert code == 0 or b"MemoryError" in ended.stderr


def test_a_picture_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LONGEST_SECONDS", 0.001)
    with pytest.raises(PictureRefused, match="cannot be decoded"):
        examine(picture())


def test_bytes_that_only_look_like_a_picture_do_not_decode() -> None:
    whole = picture("image/webp", lossless=True)
    for data in (
        png_with(data=b"\0" * 100),
        png_with()[:33] + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""),
        whole[:30] + bytes(byte ^ 0x55 for byte in whole[30:]),
    ):
        assert read(data)
        with pytest.raises(PictureRefused, match="cannot be decoded") as refused:
            examine(data)
        assert refused.value.why == "damaged"


def test_a_jpeg_of_very_many_scans_is_refused_before_they_are_decoded() -> None:
    assert read(many_scans(50)).width == 40
    assert why(many_scans(200)) == "damaged"


def test_files_made_of_very_many_parts_are_refused() -> None:
    assert why(png_with(*[chunk(b"tIME", b"")] * 30_000)) == "damaged"
    assert why(jpeg_with(*[(0xFE, b"")] * 30_000)) == "damaged"
    gif = picture("image/gif")
    assert why(gif[:-1] + b"\x21\xfe" + b"\x01a" * 300_000 + b"\0;") == "damaged"
    webp = picture("image/webp")
    more = webp[12:] + b"junk\0\0\0\0" * 30_000
    assert why(b"RIFF" + struct.pack("<I", 4 + len(more)) + b"WEBP" + more) == "damaged"


def test_a_png_that_needs_what_nobody_knows_is_refused() -> None:
    assert why(png_with(chunk(b"EVIL", b""))) == "damaged"
    assert why(png_with(chunk(b"gAMA", b"\0\0\0\0")[:-1] + b"x")) == "damaged", "a wrong checksum"


def test_kinds_of_jpeg_that_hardly_anybody_reads_are_refused() -> None:
    whole = picture("image/jpeg")
    for marker in (0xC3, 0xC9, 0xCA):
        assert why(whole.replace(b"\xff\xc0", bytes((0xFF, marker)), 1)) == "damaged"


# What is left out


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("turned", [1, 6, 8])
def test_where_it_was_taken_is_left_out_and_which_way_up_it_is_stays(media_type: str, turned: int) -> None:
    data = picture(media_type, exif=exif(turned))
    assert PLACE.encode() in data
    found = examine(data)
    assert PLACE.encode() not in found.data
    with Image.open(io.BytesIO(found.data)) as opened:
        kept = opened.getexif()
    assert dict(kept) == ({0x0112: turned} if turned != 1 else {})
    assert not kept.get_ifd(0x8825)
    assert orientation(found.data) == turned
    assert pixels(found.data) == pixels(data)
    assert read(found.data).data == found.data, "there is nothing more to leave out"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", [0, 6, 9, 60_000])
def test_a_note_which_way_up_is_read_in_both_byte_orders(order: str, value: int) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    note = mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    found = read(jpeg_with((0xE1, b"Exif\0\0" + note)))
    assert orientation(found.data) == (6 if value == 6 else 1)


@pytest.mark.parametrize("note", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"nonsense"])
def test_broken_notes_note_nothing(note: bytes) -> None:
    assert orientation(examine(jpeg_with((0xE1, b"Exif\0\0" + note))).data) == 1


def test_comments_previews_and_programs_own_things_are_left_out() -> None:
    secret = PLACE.encode()
    for data in (
        png_with(chunk(b"tEXt", b"Comment\0" + secret), chunk(b"iTXt", secret), chunk(b"prVt", secret)),
        jpeg_with((0xFE, secret), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + secret), (0xED, secret), (0xE5, secret)),
        picture("image/gif", comment=secret),
        picture("image/webp", xmp=secret),
    ):
        found = examine(data)
        assert secret not in found.data
        assert pixels(found.data) == pixels(data)
        assert len(found.data) < len(data)


def test_the_small_preview_of_a_jfif_header_is_left_out() -> None:
    jfif = b"JFIF\0\x01\x01\x00\x00\x48\x00\x48\x02\x02" + b"previewpixel"
    data = picture("image/jpeg")
    length = int.from_bytes(data[4:6], "big")
    data = data[:2] + b"\xff\xe0" + struct.pack(">H", len(jfif) + 2) + jfif + data[4 + length :]
    found = examine(data)
    assert b"previewpixel" not in found.data
    assert pixels(found.data) == pixels(data)


@ALL
def test_what_hangs_behind_the_end_is_left_out(media_type: str) -> None:
    data = picture(media_type)
    assert read(data + b"<script>alert(1)</script>").data == read(data).data
    assert b"PK\x03\x04" not in read(data + b"PK\x03\x04").data


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_the_colour_profile_stays(media_type: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = examine(picture(media_type, icc_profile=profile))
    with Image.open(io.BytesIO(found.data)) as opened:
        assert opened.info["icc_profile"] == profile


def test_what_is_transparent_stays_so() -> None:
    drawn = Image.new("RGBA", (9, 9), (200, 0, 0, 60))
    for media_type in ("image/png", "image/webp", "image/gif"):
        data = save(drawn, media_type)
        assert pixels(read(data).data) == pixels(data)
    assert set(ENDINGS) == set(FORMATS)
