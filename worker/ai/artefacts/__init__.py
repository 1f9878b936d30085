"""Real files made with the standard library alone: pictures, speech-like sound and short clips.

Each is a pure function of its arguments, so the same seed gives the same bytes on every machine and in every process.
A seed is 16 bytes or more that look random, such as a digest.
"""

from worker.ai.artefacts.clip import mp4_clip
from worker.ai.artefacts.picture import png_picture
from worker.ai.artefacts.sound import speech_seconds, wav_speech

__all__ = ["mp4_clip", "png_picture", "speech_seconds", "wav_speech"]
