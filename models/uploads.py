"""Uploads: pictures that users brought along, to be worked on by jobs.

An upload is good until it expires or its owner discards it, and jobs that name it are accepted until then. Its row and
file stay for a while longer, and for as long as an unfinished job names it; then the clean-up takes the file, and after
it the row (`tasks/uploads.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Uuid, bindparam, case, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import outbox, pages, users
from models.database import DAY_SECONDS, AwareDateTime, Base, BigId, Prepared, Sender, insert_into, new_id, now
from models.errors import Fault, InvalidInput, NotFound, UploadSpaceFull
from models.pictures import Picture

CLEAR_TASK = "maintenance.clear_uploads"
"""The task that takes away what is over and not needed any more."""

PREFIX = "uploads"
"""How the keys of all files of uploads begin."""

SMALLEST_FILE = 4096
"""Bytes that each counts at least, for so much it takes on a disk: a million tiny ones are no small thing."""

GRACE_SECONDS = 600.0
"""How long what is over stays where it is. A request that saw a good upload has made its job by then, and a job keeps
what it names: so neither waits for the other."""


class Upload(Base):
    """One picture, checked. `size` is in bytes, `width` and `height` in pixels; the file is in storage under `key`."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint("size > 0 AND width > 0 AND height > 0", name="has_a_picture"),
        Index("ix_uploads_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    media_type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int] = mapped_column(BigId)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    expires_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)


_GOOD = Prepared(
    select(Upload.id).where(
        Upload.id == bindparam("upload_id", type_=Uuid()),
        Upload.user_id == bindparam("user_id", type_=Uuid()),
        Upload.expires_at > now(),
    )
)


def folder(user_id: UUID) -> str:
    """How the keys of this user's files begin."""
    return f"{PREFIX}/{user_id}"


def key_of(user_id: UUID, upload_id: UUID) -> str:
    """Where the file of an upload is."""
    return f"{folder(user_id)}/{upload_id}"


def prepare(session: Session, picture: Picture, *, user_id: UUID, days: int, space: int) -> Upload | None:
    """Before a file is stored: the user's upload of this very picture, good for `days` anew, if there is one; else
    None, if there is room for it. Raises `UploadSpaceFull` when all of theirs would take more than `space` bytes."""
    same = _renew(session, user_id=user_id, sha256=picture.sha256, days=days)
    if same is None:
        _find_room(session, user_id=user_id, size=len(picture.data), space=space)
    return same


def add(
    session: Session, picture: Picture, *, user_id: UUID, upload_id: UUID, days: int, space: int
) -> tuple[Upload, bool]:
    """Note a picture whose file is stored by now, good for so many days; returns its upload and whether that is new.

    When another request has brought the same meanwhile, its upload is the one, and nobody needs this file. Locks the
    user, so that all of theirs never take more than `space`. Raises `UploadSpaceFull`, and `NotFound` when the account
    is gone or closing: what comes then would be taken away by nobody.
    """
    users.lock_open(session, user_id)
    same = prepare(session, picture, user_id=user_id, days=days, space=space)
    if same is not None:
        return same, False
    adding = insert_into(session, Upload).values(
        id=upload_id,
        user_id=user_id,
        media_type=picture.media_type,
        size=len(picture.data),
        width=picture.width,
        height=picture.height,
        sha256=picture.sha256,
        key=key_of(user_id, upload_id),
        expires_at=now(days * DAY_SECONDS),
    )
    return session.execute(adding.returning(Upload)).scalar_one(), True


def _renew(session: Session, *, user_id: UUID, sha256: str, days: int) -> Upload | None:
    mine = Upload.user_id == user_id, Upload.sha256 == sha256, Upload.expires_at > now()
    renewing = update(Upload).where(*mine).values(expires_at=now(days * DAY_SECONDS)).returning(Upload)
    return session.scalars(renewing.execution_options(synchronize_session=False)).one_or_none()


def _find_room(session: Session, *, user_id: UUID, size: int, space: int) -> None:
    # What is over takes its place until it is cleared away: else one could bring and discard without end.
    taken = func.sum(case((Upload.size < SMALLEST_FILE, SMALLEST_FILE), else_=Upload.size))
    used = int(session.scalar(select(taken).where(Upload.user_id == user_id)) or 0)
    if used + max(size, SMALLEST_FILE) > space:
        raise UploadSpaceFull(
            f"Your uploads take {used} of {space} bytes: delete some, or wait until they expire.",
            limit=space, used=used, size=size,
        )  # fmt: skip


def get(session: Session, *, user_id: UUID, upload_id: UUID) -> Upload:
    """An upload of this user that is good. Raises `NotFound`, also for those of others. Locks nothing."""
    mine = Upload.id == upload_id, Upload.user_id == user_id, Upload.expires_at > now()
    upload = session.scalars(select(Upload).where(*mine)).one_or_none()
    if upload is None:
        raise NotFound("There is no such upload.")
    return upload


def page(
    session: Session, *, user_id: UUID, limit: int, after: UUID | None = None
) -> tuple[Sequence[Upload], UUID | None]:
    """The user's uploads that are good, newest first, from just after `after`; with the id to go on from, None at the
    end. Locks nothing."""
    mine, good = (Upload.user_id, user_id), [Upload.expires_at > now()]
    return pages.newest(session, select(Upload), Upload.id, owner=mine, filters=good, limit=limit, after=after)


def is_good(session: Sender, *, user_id: UUID, upload_id: UUID | None) -> bool:
    """Whether a job may name this upload; one that names none (None) may always. One indexed read, no lock."""
    return upload_id is None or _GOOD.one_or_none(session, upload_id=upload_id, user_id=user_id) is not None


def require(session: Sender, *, user_id: UUID, upload_id: UUID | None) -> None:
    """Raise `InvalidInput` naming `input.upload` unless `is_good`."""
    if not is_good(session, user_id=user_id, upload_id=upload_id):
        raise InvalidInput(Fault("input.upload", "there is no such upload of yours, or it has expired"))


def discard(session: Session, *, user_id: UUID, upload_id: UUID) -> None:
    """End an upload now and have its file taken away, once no unfinished job names it. Raises `NotFound`."""
    mine = Upload.id == upload_id, Upload.user_id == user_id, Upload.expires_at > now()
    # As if it had been over for long: a job that is submitted for it at this very moment may fail, and is refunded.
    ending = update(Upload).where(*mine).values(expires_at=now(-GRACE_SECONDS)).returning(Upload.id)
    if session.scalar(ending.execution_options(synchronize_session=False)) is None:
        raise NotFound("There is no such upload.")
    clearing = outbox.message(task=CLEAR_TASK, queue="maintenance", args=[], task_id=str(new_id()))
    outbox.stage(session, clearing)


def over(session: Session, *, limit: int, after: UUID | None = None) -> Sequence[Upload]:
    """Uploads that were over a while ago, from just after the one with this id. Locks nothing."""
    query = select(Upload).where(Upload.expires_at <= now(-GRACE_SECONDS))
    if after is not None:
        query = query.where(Upload.id > after)
    return session.scalars(query.order_by(Upload.id).limit(limit)).all()


def forget(session: Session, upload_ids: Collection[UUID]) -> None:
    """Delete the rows of uploads whose files are gone."""
    session.execute(delete(Upload).where(Upload.id.in_(upload_ids)).execution_options(synchronize_session=False))


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete the rows of all of a user's uploads, whose files are gone: for an account that is closed."""
    session.execute(delete(Upload).where(Upload.user_id == user_id).execution_options(synchronize_session=False))


def known(session: Session, keys: Collection[str]) -> set[str]:
    """Which of these keys are those of an upload's file. Locks nothing."""
    return set(session.scalars(select(Upload.key).where(Upload.key.in_(keys))))
