"""A program that decodes one picture out of its standard input: `decoder.py FORMAT MOST_PIXELS`. Ends with 1 if it
cannot. With `WIDTH HEIGHT` it writes the picture at that size to its standard output, as a PNG.

`decoding.py` runs it, as a file and in a Python that knows nothing of Coinop: what it reads comes from anybody.
"""

import contextlib
import io
import os
import resource
import sys

SECONDS = 10
"""Of computing. The slowest pictures of forty megapixels take three."""

MEMORY, MEMORY_PER_PIXEL = 256 * 2**20, 20
"""Bytes, besides and for each pixel. WebP takes the most: 16 for each pixel."""


def main(name: str, most_pixels: int, *size: int) -> None:
    os.nice(10)  # whoever polls comes first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    with contextlib.suppress(OSError, ValueError):  # some systems have no such limit
        memory = MEMORY + MEMORY_PER_PIXEL * most_pixels
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    from PIL import Image

    Image.MAX_IMAGE_PIXELS = (most_pixels + 1) // 2  # it warns above this and refuses above twice as many
    data = io.BytesIO(sys.stdin.buffer.read())
    with Image.open(data, formats=[name]) as picture:
        if size:
            mode = "RGBA" if picture.has_transparency_data else "RGB"
            picture.convert(mode).resize((size[0], size[1]), Image.Resampling.LANCZOS).save(sys.stdout.buffer, "PNG")
            return
        # A JPEG can be decoded to an eighth of its size: all its data is read, and a hundredth of the memory is enough.
        picture.draft(None, (max(picture.width // 8, 1), max(picture.height // 8, 1)))
        picture.load()


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except BaseException:
        sys.exit(1)
