"""Pictures, sound and clips are what they say they are, judged by readers that share no code with the writers."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import wave
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from worker.ai.artefacts import mp4_clip, png_picture, speech_seconds, wav_speech

SEED = bytes(range(7, 39))
OTHER_SEED = bytes(range(101, 133))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        assert crc == zlib.crc32(name + body), name
        yield name, body
        at += 12 + length


def png_rows(data: bytes) -> list[bytes]:
    """The palette indexes, row by row, with the filters undone."""
    chunks = dict(png_chunks(data))
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    raw = zlib.decompress(chunks[b"IDAT"])
    assert len(raw) == height * (width + 1)
    above, rows = bytes(width), []
    for at in range(0, len(raw), width + 1):
        kind, row = raw[at], raw[at + 1 : at + 1 + width]
        assert kind in (0, 2)
        above = row if kind == 0 else bytes((new + old) % 256 for new, old in zip(row, above, strict=True))
        rows.append(above)
    return rows


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (1536, 1024), (256, 256), (1, 1), (33, 65)])
def test_png_is_well_formed_and_of_the_size_asked_for(width: int, height: int) -> None:
    chunks = list(png_chunks(png_picture(SEED, width, height)))
    assert [name for name, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[0][1]) == (width, height, 8, 3, 0, 0, 0)
    assert len(chunks[1][1]) == 256 * 3
    assert len(zlib.decompress(chunks[2][1])) == height * (width + 1)


def test_png_shows_many_colours_that_change_softly() -> None:
    rows = png_rows(png_picture(SEED, 256, 128))
    assert len({value for row in rows for value in row}) > 64
    steps = [(right - left + 128) % 256 - 128 for row in rows for left, right in pairwise(row)]
    assert max(map(abs, steps)) <= 16


def test_png_is_small() -> None:
    assert len(png_picture(SEED, 1024, 1024)) < 20_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("Hi", 1.0), ("x" * 30, 2.0), ("x" * 100, 100 / 15), ("x" * 450, 30.0), ("x" * 8_000, 30.0)]
)
def test_wav_lasts_as_long_as_its_words(text: str, seconds: float) -> None:
    data = wav_speech(SEED, text)
    with wave.open(io.BytesIO(data)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8_000)
        assert sound.getnframes() == round(seconds * 8_000)
        samples = struct.unpack(f"<{sound.getnframes()}h", sound.readframes(sound.getnframes()))
    assert speech_seconds(text) == pytest.approx(seconds)
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert 5_000 < max(samples) <= 16_000, "heard, and not clipped"
    assert max(abs(b - a) for a, b in pairwise(samples)) < 6_000, "no clicks"


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[str, int, int]]:
    """Each box's name, and where its content begins and ends."""
    end = len(data) if end is None else end
    while at < end:
        size, name = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= end - at, name
        yield name.decode("ascii"), at + 8, at + size
        at += size
    assert at == end


def content(data: bytes, path: str) -> bytes:
    """What the box at `path`, such as `moov/trak`, holds."""
    begin, end = 0, len(data)
    for part in path.split("/"):
        begin, end = next((b, e) for name, b, e in boxes(data, begin, end) if name == part)
    return data[begin:end]


TABLES = "moov/trak/mdia/minf/stbl"


def frames_of(clip: bytes) -> list[bytes]:
    """The NAL units, found as a player finds them: by the index."""
    (offset,) = struct.unpack_from(">I", content(clip, f"{TABLES}/stco"), 8)
    sizes = content(clip, f"{TABLES}/stsz")
    fixed, count = struct.unpack_from(">II", sizes, 4)
    assert fixed == 0
    frames = []
    for size in struct.unpack_from(f">{count}I", sizes, 12):
        (length,) = struct.unpack_from(">I", clip, offset)
        assert length == size - 4
        frames.append(clip[offset + 4 : offset + size])
        offset += size
    assert offset == len(clip), "the index covers the samples to the last byte"
    return frames


class BitReader:
    def __init__(self, nal: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in nal.replace(b"\0\0\3", b"\0\0"))
        self.at = 8  # past the NAL header

    def u(self, width: int) -> int:
        self.at += width
        return int(self._text[self.at - width : self.at], 2)

    def ue(self) -> int:
        zeros = self._text.index("1", self.at) - self.at
        self.at += zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def rest(self) -> str:
        return self._text[self.at :]


def parameter_sets(clip: bytes) -> tuple[bytes, bytes]:
    entry = content(clip, f"{TABLES}/stsd")[8:]
    assert entry[4:8] == b"avc1"
    assert struct.unpack_from(">HH", entry, 8 + 24) == (160, 90)
    at = entry.index(b"avcC") + 4
    assert (entry[at], entry[at + 4] & 3, entry[at + 5] & 31) == (1, 3, 1), "version 1, 4-byte lengths, one SPS"
    (length,) = struct.unpack_from(">H", entry, at + 6)
    sequence = entry[at + 8 : at + 8 + length]
    assert sequence[1:4] == entry[at + 1 : at + 4], "the profile and level are the same in both places"
    at += 8 + length
    assert entry[at] == 1
    (length,) = struct.unpack_from(">H", entry, at + 1)
    assert at + 3 + length == len(entry)
    return sequence, entry[at + 3 :]


@pytest.mark.parametrize("seconds", [1, 2, 5])
def test_clip_has_the_boxes_a_player_needs(seconds: int) -> None:
    clip = mp4_clip(SEED, seconds)
    assert [name for name, _, _ in boxes(clip)] == ["ftyp", "moov", "mdat"], "the index comes before the samples"
    scale, duration = struct.unpack_from(">II", content(clip, "moov/mvhd"), 12)
    assert duration / scale == seconds
    count, ticks = struct.unpack_from(">II", content(clip, f"{TABLES}/stts"), 8)
    assert count == len(frames_of(clip)) == 25 * seconds
    assert count * ticks == duration
    assert struct.unpack_from(">III", content(clip, f"{TABLES}/stss")) == (0, 1, 1)
    assert len(clip) < 100_000


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (600, 5)])
def test_clip_stays_short(asked: int, given: int) -> None:
    assert mp4_clip(SEED, asked) == mp4_clip(SEED, given)


def test_clip_parameters_say_the_picture_s_size() -> None:
    sequence, picture = parameter_sets(mp4_clip(SEED, 1))
    assert (sequence[0], picture[0]) == (0x67, 0x68)
    bits = BitReader(sequence)
    assert (bits.u(8), bits.u(8), bits.u(8)) == (66, 0xC0, 30)
    assert [bits.ue() for _ in range(4)] == [0, 0, 0, 6]
    assert (bits.ue(), bits.u(1)) == (1, 0)
    width, height = 16 * (bits.ue() + 1), 16 * (bits.ue() + 1)
    assert bits.u(3) == 0b111
    left, right, top, bottom = (2 * bits.ue() for _ in range(4))
    assert (width - left - right, height - top - bottom) == (160, 90)
    assert (left, top) == (0, 0)


def test_clip_s_first_frame_is_raw_samples_of_every_macroblock() -> None:
    first = frames_of(mp4_clip(SEED, 1))[0]
    assert first[0] == 0x65
    bits = BitReader(first)
    assert [bits.ue() for _ in range(3)] == [0, 7, 0]
    assert bits.u(4) == 0, "frame number"
    assert (bits.ue(), bits.u(10), bits.u(2), bits.se(), bits.ue()) == (0, 0, 0, 0, 1)
    for _ in range((192 // 16) * (128 // 16)):
        assert bits.ue() == 25, "I_PCM"
        if padding := -bits.at % 8:
            assert bits.u(padding) == 0
        samples = bits.u(8 * 384).to_bytes(384, "big")
        assert min(samples) >= 16
        assert max(samples) <= 240
    assert bits.rest() == "10000000"


def test_clip_s_later_frames_move_the_first_within_its_margin() -> None:
    places = []
    for number, frame in enumerate(frames_of(mp4_clip(SEED, 5))[1:], start=1):
        assert frame[0] == 0x01, "a frame that no other refers to"
        bits = BitReader(frame)
        assert [bits.ue() for _ in range(3)] == [0, 5, 0]
        assert (bits.u(4), bits.u(10)) == (1, 2 * number)
        assert (bits.u(2), bits.se(), bits.ue()) == (0, 0, 1)
        assert (bits.ue(), bits.ue()) == (0, 0)
        places.append((bits.se(), bits.se()))
        assert bits.ue() == 0
        assert bits.rest().rstrip("0") == "1" * (5 * 95) + "1"
    assert len(set(places)) > 60
    assert all(0 <= x <= 4 * (192 - 160 - 3) and 0 <= y <= 4 * (128 - 90 - 3) for x, y in places)


def test_clip_holds_no_start_code_by_accident() -> None:
    for frame in frames_of(mp4_clip(SEED, 5)):
        assert not any(code in frame for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_clip_decodes_in_ffmpeg_where_there_is_one(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(mp4_clip(SEED, 2))
    assert len(frames_of(clip.read_bytes())) == 50
    if not (shutil.which("ffprobe") and shutil.which("ffmpeg")):
        return  # the tests above have read the file bit by bit; ffmpeg is a second opinion
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(clip)]
    (stream,) = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 160, 90)
    assert (stream["nb_read_frames"], float(stream["duration"])) == ("50", 2.0)
    decode = ["ffmpeg", "-v", "warning", "-threads", "1", "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    done = subprocess.run(decode, capture_output=True, check=True)
    assert done.stderr == b""
    assert len(done.stdout) == 50 * (160 * 90 * 3 // 2)


def test_seeds_decide() -> None:
    makers: tuple[Callable[[bytes], bytes], ...] = (
        lambda seed: png_picture(seed, 64, 64),
        lambda seed: wav_speech(seed, "Good morning to you all"),
        lambda seed: mp4_clip(seed, 1),
    )
    for make in makers:
        assert make(SEED) == make(SEED) != make(OTHER_SEED)
