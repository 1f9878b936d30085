"""Pictures and speech: what is asked, what is passed on, and what is not taken for either."""

from __future__ import annotations

import io
import time
import wave
from types import SimpleNamespace

import pytest
from PIL import Image
from pydantic import SecretStr

from models.kinds import Kind
from models.pictures import Picture
from tests.ai.openai.asking import KEY, call_for, chosen, failure, file, with_picture
from tests.ai.openai.scripted import Scripted, body, events, picture_answer, response, said, text, wav
from tests.unit.fake_call import INPUTS, FakeCall
from tests.uploads.drawings import chunk, picture, save
from worker.ai.openai.provider import OpenAIProvider
from worker.ai.openai.speaking import MOST_CHARACTERS, VOICES, parts, read_wav
from worker.ai.provider import Artefact, Text
from worker.decoding import examine, scaled

# Pictures


def test_a_picture_is_passed_on_byte_for_byte(ours: OpenAIProvider, server: Scripted) -> None:
    """With all that it says of where it comes from."""
    drawn = picture(size=(1024, 1536))
    marked = drawn[:-12] + chunk(b"caBX", b"made by a machine") + drawn[-12:]
    server.answer_with(picture_answer(marked, x_request_id="req_1"))
    made = ours.generate(call_for(Kind.image))
    assert made.outputs == (Artefact("image/png", marked),)
    assert made.usage == {"input_tokens": 12, "output_tokens": 1056, "images": 1}
    assert made.request_id == "req_1"
    [asked] = server.asked
    assert asked.path == "/v1/images/generations"
    assert asked.json == {"model": "gpt-image-2.5-flare", "prompt": "a red fox", "size": "1024x1536", "n": 1}


def test_a_small_picture_is_drawn_larger_and_scaled_down(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(picture_answer(picture("image/webp", size=(1024, 1024))))
    made = ours.generate(call_for(Kind.image, given={"size": "512x512"}))
    assert server.asked[0].json["size"] == "1024x1024"
    assert file(made).media_type == "image/png"
    with Image.open(io.BytesIO(file(made).data)) as seen:
        assert (seen.size, seen.format) == ((512, 512), "PNG")
        assert len(seen.getcolors(512 * 512) or ()) > 100, "there is still something to see"


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "CMYK"])
def test_what_is_scaled_stays_as_clear_as_it_was(mode: str) -> None:
    drawn = Image.new("RGBA", (64, 32), (200, 0, 0, 0))
    drawn.paste((200, 0, 0, 255), (0, 0, 32, 32))
    made = save(drawn.convert(mode), "image/jpeg" if mode == "CMYK" else "image/png")
    small = scaled(examine(made), 32, 16)
    with Image.open(io.BytesIO(small.data)) as seen:
        assert (small.width, small.height) == seen.size == (32, 16)
        left, right = seen.convert("RGBA").getpixel((4, 8)), seen.convert("RGBA").getpixel((28, 8))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[3] == 255
    assert right[3] == (0 if mode in ("RGBA", "P") else 255)


def test_a_picture_of_another_size_than_ordered_is_not_sold(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(picture_answer(picture(size=(1024, 1024))))
    failed = failure(ours, call_for(Kind.image))
    assert (failed.code, failed.retryable) == ("bad_answer", False)
    assert "1024x1536" in failed.message
    assert failed.usage == {"input_tokens": 12, "output_tokens": 1056, "images": 1}, "it was paid for"


@pytest.mark.parametrize(
    "answer",
    [
        said({"data": [{"b64_json": "no base64"}]}),
        said({"data": [{"url": "https://elsewhere.example/fox.png"}]}),
        said({"data": []}),
        said({"data": None}),
        picture_answer(b"<svg/>"),
        picture_answer(picture(size=(1024, 1536))[:400]),
    ],
    ids=["no base64", "an address", "none", "null", "SVG", "half"],
)
def test_what_is_no_picture_is_not_taken_for_one(ours: OpenAIProvider, server: Scripted, answer: object) -> None:
    server.answer_with(answer)  # type: ignore[arg-type]
    assert failure(ours, call_for(Kind.image)).code == "bad_answer"


def test_a_damaged_picture_is_not_scaled(ours: OpenAIProvider, server: Scripted) -> None:
    good = picture(size=(1024, 1024))
    broken = good.replace(good[200:260], bytes(60))
    server.answer_with(picture_answer(broken))
    assert failure(ours, call_for(Kind.image, given={"size": "512x512"})).code == "bad_answer"


def test_models_of_others_are_told_to_answer_with_the_picture_itself(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(picture_answer(picture(size=(1024, 1536))))
    ours.generate(call_for(Kind.image, model="stable-diffusion-9"))
    assert server.asked[0].json["response_format"] == "b64_json"


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_a_picture_is_changed_as_the_words_say(ours: OpenAIProvider, server: Scripted, media_type: str) -> None:
    original, night = examine(picture(media_type)), picture("image/jpeg", size=(48, 32))
    server.answer_with(picture_answer(night))
    made = ours.generate(with_picture(Kind.image_edit, original))
    assert made.outputs == (Artefact("image/jpeg", night),)
    assert made.usage["images"] == 1
    [asked] = server.asked
    assert asked.path == "/v1/images/edits"
    assert original.data in asked.body
    assert f"Content-Type: {media_type}".encode() in asked.body
    assert b"make it night" in asked.body


def test_a_picture_that_cannot_be_changed_is_not_sent(ours: OpenAIProvider, server: Scripted) -> None:
    failed = failure(ours, with_picture(Kind.image_edit, examine(picture("image/gif"))))
    assert failed.code == "image_refused"
    assert server.asked == []


# Speech


@pytest.mark.parametrize("size", [None, 0xFFFFFFFF, 0x7FFFFFFF, 0], ids=["true", "endless", "very long", "none"])
@pytest.mark.parametrize("extra", [b"", b"LIST\x05\x00\x00\x00hello\x00"], ids=["", "with more"])
def test_speech_has_its_true_length_whatever_its_header_said(
    ours: OpenAIProvider, server: Scripted, size: int | None, extra: bytes
) -> None:
    server.answer_with(body(wav(2.5, size=size, extra=extra), kind="audio/wav", x_request_id="req_2"))
    made = ours.generate(call_for(Kind.speech))
    with wave.open(io.BytesIO(file(made).data)) as heard:
        assert (heard.getnframes(), heard.getframerate(), heard.getnchannels()) == (60_000, 24_000, 1)
        assert heard.readframes(60_000) == b"\x01\x02" * 60_000
    assert file(made).media_type == "audio/wav"
    assert made.usage == {"characters": 52, "seconds": 3}
    assert made.request_id == "req_2"
    [asked] = server.asked
    assert asked.json == {
        "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "wav",
        "input": "Good morning. The train to the coast leaves at nine.",
    }  # fmt: skip


def test_what_comes_after_the_sound_is_not_played(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(body(wav(1) + b"LIST\x04\x00\x00\x00abcd", kind="audio/wav"))
    assert len(read_wav(file(ours.generate(call_for(Kind.speech))).data).samples) == 48_000


def test_a_long_text_is_spoken_in_parts_and_is_one_sound(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(body(wav(1.5), kind="audio/wav"), body(wav(2), kind="audio/wav"))
    text_ = "It was a long way to the coast. " * 240
    made = ours.generate(call_for(Kind.speech, given={"text": text_}))
    assert read_wav(file(made).data).seconds == 3.5
    assert made.usage == {"characters": len(text_.strip()), "seconds": 4}
    spoken = [asked.json["input"] for asked in server.asked]
    assert " ".join(spoken) == text_.strip()
    assert all(part.endswith(".") for part in spoken)


@pytest.mark.parametrize(
    "text_", ["word " * 1600, "x" * 8000, "a, b; " * 1300, "Ja! " * 2000, "短い。" * 2600, "short"]
)
def test_a_text_is_divided_without_loss(text_: str) -> None:
    pieces = list(parts(text_.strip()))
    assert all(0 < len(piece) <= MOST_CHARACTERS for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text_.split())
    assert len(pieces) <= len(text_) // MOST_CHARACTERS + 2


def test_parts_that_do_not_fit_together_are_not_glued(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(body(wav(1), kind="audio/wav"), body(wav(1, rate=8_000), kind="audio/wav"))
    assert failure(ours, call_for(Kind.speech, given={"text": "word " * 1600})).code == "bad_answer"


@pytest.mark.parametrize(
    "heard",
    [b"", b"ID3\x04 an mp3", wav(0), wav(1, bits=8), wav(1)[:30], b"RIFF\0\0\0\0WAVE" + b"\0" * 200, wav(1)[:44]],
    ids=["nothing", "mp3", "no sound", "8 bits", "half a header", "zeros", "a header alone"],
)
def test_what_is_no_speech_is_not_taken_for_it(ours: OpenAIProvider, server: Scripted, heard: bytes) -> None:
    server.answer_with(body(heard, kind="audio/wav"))
    assert failure(ours, call_for(Kind.speech)).code == "bad_answer"


def test_a_voice_that_openai_does_not_have_is_refused_before_it_is_asked() -> None:
    """Servers of others have voices of their own."""
    assert {"alloy", "cedar", "nova"} <= set(VOICES)
    openai = OpenAIProvider.of(chosen(openai_api_key=SecretStr(KEY)))
    failed = failure(openai, call_for(Kind.speech, given={"voice": "granny"}))
    assert (failed.code, failed.retryable) == ("provider_refused", False)
    assert "alloy" in failed.message


def test_voices_of_others_are_theirs_to_know(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(body(wav(1), kind="audio/wav"))
    ours.generate(call_for(Kind.speech, given={"voice": "af_bella"}))
    assert server.asked[0].json["voice"] == "af_bella"


@pytest.mark.parametrize("kind", [Kind.upscale, Kind.video, Kind.lipsync])
def test_what_it_cannot_do_it_does_not(ours: OpenAIProvider, kind: Kind) -> None:
    assert failure(ours, with_picture(kind, examine(picture()))).code == "provider_refused"


def test_fetching_a_picture_takes_none_of_the_time_to_answer(
    ours: OpenAIProvider, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = 0.0
    monkeypatch.setattr("worker.fetching.time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))

    class Slow(FakeCall):
        def picture(self) -> Picture:
            nonlocal late
            late += 3600
            return super().picture()

    call = Slow(Kind.vision, INPUTS[Kind.vision], timeout=20, upload=examine(picture()))
    server.answer_with(events(response(text("A gradient."))))
    assert ours.generate(call).outputs == (Text("A gradient."),)
