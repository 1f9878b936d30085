"""Uploads that come at the same moment, on PostgreSQL, where they really do."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from models import uploads
from models.database import new_id
from models.pictures import Picture
from tests.races.conftest import arena
from tests.races.starting_line import ROUNDS, race, tally
from tests.uploads.bringing import rows

__all__ = ["arena"]

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")


def adding(user_id: UUID, data: bytes, *, space: int) -> Callable[[Session], str]:
    def add(session: Session) -> str:
        picture = Picture("image/png", 1, 1, data)
        _, new = uploads.add(session, picture, user_id=user_id, upload_id=new_id(), days=7, space=space)
        return "new" if new else "known"

    return add


def test_the_space_of_a_user_is_never_exceeded(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, _ = new_user()
        runners = [adding(user, b"%d" % n, space=5 * uploads.SMALLEST_FILE) for n in range(20)]
        assert tally(race(*runners)) == {"new": 5, "UploadSpaceFull": 15}


def test_the_same_picture_is_one_upload(new_user: NewUser) -> None:
    for made in range(1, ROUNDS + 1):
        user, _ = new_user()
        runners = [adding(user, b"the same", space=100 * uploads.SMALLEST_FILE)] * 20
        assert tally(race(*runners)) == {"new": 1, "known": 19}
        assert rows() == made
