"""Acting: a request acts for nobody until its caller is known, and then for that user alone (`models/acting.py`).

A view that asks nobody who is calling finds no rows of users. Where that is right, because a caller is only being found
out or is not one user, the blueprint says so with `for_everyone`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from flask import Flask, Response

from models import acting
from models.acting import Whom


def register(app: Flask) -> None:
    """To be called before any other hook is registered."""
    app.before_request(_for_nobody_yet)
    app.after_request(_to_the_end)
    app.teardown_request(_request_is_over)


def for_everyone() -> None:
    """For `before_request` of what is no single user's: sign-up and log-in, the links in e-mails, admins."""
    acting.act_for(Whom.everyone)


def _for_nobody_yet() -> None:
    acting.act_for(Whom.nobody)


def _to_the_end(response: Response) -> Response:
    """A body that is made while it is sent is made after the request is over."""
    if response.is_streamed and not response.direct_passthrough:
        response.response = _still_for(acting.whom(), response.response)
    return response


def _still_for(whom: UUID | Whom, chunks: Iterable[Any]) -> Iterator[Any]:
    steps = iter(chunks)
    nothing = object()
    try:
        while True:
            with acting.acting_for(whom):
                chunk = next(steps, nothing)
            if chunk is nothing:
                return
            yield chunk
    finally:
        if close := getattr(chunks, "close", None):
            with acting.acting_for(whom):
                close()


def _request_is_over(_: BaseException | None) -> None:
    acting.act_for(Whom.everyone)
