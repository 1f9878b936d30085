"""The till: one transaction of the mock gateway. Objects taken from it are locked, kept when it closes, and what
happened to them is told by events, as they are by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from config import settings
from models import database
from models.database import moment, sessions
from models.payments import mock_objects
from worker.payments.gateway import Refused
from worker.payments.stripe_client import API_VERSION

Object = dict[str, Any]


class Till:
    """`now` is the database's time, in seconds of the epoch as all times of the objects are; `public_url` is where the
    pages are."""

    def __init__(self, session: Session, public_url: str) -> None:
        self.session = session
        self.public_url = public_url
        self.now = int(moment(session).timestamp())
        self._held: dict[str, Object] = {}
        self._new: set[str] = set()
        self._told: list[tuple[str, Object]] = []

    def new(self, kind: str, prefix: str, **members: Any) -> Object:
        """An object that has not been before; its id says that it is no real one."""
        made = {
            "id": new_id(prefix), "object": kind, "created": self.now, "livemode": False, "metadata": {}, **members,
        }  # fmt: skip
        self._held[made["id"]] = made
        self._new.add(made["id"])
        return made

    def take(self, object_id: str) -> Object:
        """An object by its id, locked and to be changed. Raises `Refused`."""
        if object_id not in self._held:
            found = mock_objects.find(self.session, object_id, lock=True)
            if found is None:
                raise Refused("resource_missing", "The mock gateway has no such object.")
            self._held[object_id] = found
        return self._held[object_id]

    def look(self, object_id: str) -> Object:
        """An object by its id, as it is; not to be changed. Raises `Refused`."""
        found = self._held.get(object_id) or mock_objects.find(self.session, object_id)
        if found is None:
            raise Refused("resource_missing", "The mock gateway has no such object.")
        return found

    def where(self, kind: str, **members: str) -> list[Object]:
        """The objects of a kind whose members have these values, oldest first; for looking."""
        stored = {found["id"]: found for found in mock_objects.where(self.session, kind, **members)}
        for object_id, held in self._held.items():
            if held["object"] == kind:
                stored.pop(object_id, None)
                if all(held.get(name) == value for name, value in members.items()):
                    stored[object_id] = held
        return sorted(stored.values(), key=lambda data: (data["created"], data["id"]))

    def tell(self, event_type: str, about: Object) -> None:
        """Have an event say what happened to an object."""
        self._told.append((event_type, about))

    def undo(self) -> None:
        """Forget all that was done so far; what is locked stays so."""
        self._held.clear()
        self._new.clear()
        self._told.clear()

    def close(self) -> None:
        for object_id, held in self._held.items():
            if object_id in self._new:
                mock_objects.add(self.session, object_id=object_id, kind=held["object"], data=held)
            else:
                mock_objects.change(self.session, object_id=object_id, data=held)
        for event_type, about in self._told:
            mock_objects.emit(self.session, event(event_type, about, self.now))


@contextmanager
def till() -> Iterator[Till]:
    """A till with a transaction of its own."""
    with sessions() as session:
        opened = Till(session, settings().public_url)
        yield opened
        opened.close()


def shown(found: Mapping[str, Any]) -> Object:
    """An object as others see it."""
    return {name: value for name, value in found.items() if not name.startswith("_")}


def event(event_type: str, about: Mapping[str, Any], created: int) -> Object:
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": shown(about)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    }


def new_id(prefix: str) -> str:
    """An id that nobody guesses; later ones sort after earlier ones, also within a second."""
    return f"{prefix}_mock_{database.new_id().hex}"
