"""Files out of the storage, as answers: whole or in part, with a tag; to be saved, and not to be shown."""

from __future__ import annotations

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import FileWrapper, wrap_file

from worker.storage import storage

AT_ONCE = 64 * 1024
"""Bytes that are read at a time."""


def send(key: str, *, media_type: str, name: str, tag: str, seconds: int = 0) -> Response:
    """A stored file as an attachment called `name`, which the caller's own browser may keep for so many seconds.

    Knows HEAD, `If-None-Match`, `Range` and `If-Range`. Raises `FileNotFoundError`, and `RequestedRangeNotSatisfiable`.
    """
    opened = storage().open(key)
    # The server's own wrapper sends a file the fastest, but cannot begin in the middle of it.
    wrapper = FileWrapper(opened.file, AT_ONCE) if "Range" in request.headers else None
    response = Response(
        wrapper or wrap_file(request.environ, opened.file, AT_ONCE),
        mimetype=media_type,
        direct_passthrough=True,
    )
    response.content_length = opened.size
    # Shown by a browser it could be taken for a page of ours.
    response.headers.set("Content-Disposition", "attachment", filename=name)
    response.headers["Cache-Control"] = f"private, max-age={seconds}" if seconds else "private, no-cache"
    response.set_etag(tag)
    try:
        response.make_conditional(request, accept_ranges=True, complete_length=opened.size)
    except RequestedRangeNotSatisfiable:
        opened.file.close()
        raise
    return response
