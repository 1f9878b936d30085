"""The role that requests run as: made by the migration where it may, and asked for in plain words where it may not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import click
import psycopg
import pytest
from sqlalchemy import func, make_url, select

from config import settings
from models import walls
from models.acting import Whom, acting_for
from models.database import Prepared, engine, make_engine, readings, sessions
from models.jobs import Job
from ops import embedded
from tests.databases import close, in_use
from tests.jobs import work
from web.commands.database import upgrade


@dataclass(frozen=True)
class Place:
    """An empty database, its owner, who is no superuser, and the superuser."""

    url: str
    owner: str
    superuser: psycopg.Connection[tuple[object, ...]]

    def migrate(self) -> None:
        owner = make_engine(self.url)
        try:
            upgrade(owner)
        finally:
            owner.dispose()

    def tables(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def place(postgresql_server: str) -> Iterator[Place]:
    name = f"small_{uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as superuser:
        superuser.execute(f'CREATE ROLE "{name}" LOGIN')
        created = embedded.create_database(postgresql_server, name)
        superuser.execute(f'ALTER DATABASE "{name}" OWNER TO "{name}"')
        url = make_url(created).set(username=name)
        yield Place(url.render_as_string(hide_password=False), name, superuser)
        superuser.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        superuser.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


@pytest.fixture
def tenant(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Another name for the role, of which the server knows nothing yet."""
    name = f"tenant_{uuid4().hex}"
    monkeypatch.setattr(walls, "TENANT", name)
    yield name
    if place.superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
        with psycopg.connect(place.url) as connection:
            connection.execute(f"SET LOCAL ROLE {place.owner}")
            connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}")
            connection.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name}")
        place.superuser.execute(f"DROP ROLE {name}")


def asked_for(refused: pytest.ExceptionInfo[click.ClickException]) -> list[str]:
    """The statements that the message asks a superuser to run."""
    return re.findall(r"^    (\w.*;)", refused.value.message, re.MULTILINE)


def test_without_leave_to_make_roles_it_says_what_to_run_and_changes_nothing(place: Place, tenant: str) -> None:
    with pytest.raises(click.ClickException) as refused:
        place.migrate()
    assert place.tables() == 0
    statements = asked_for(refused)
    assert statements == [f"CREATE ROLE {tenant} NOLOGIN NOINHERIT;", f"GRANT {tenant} TO {place.owner};"]
    assert "ROW_LEVEL_SECURITY=false" in refused.value.message
    for statement in statements:
        place.superuser.execute(statement)
    place.migrate()
    place.migrate()
    assert place.tables() > 30


def test_who_may_make_roles_makes_it(place: Place, tenant: str) -> None:
    place.superuser.execute(f'ALTER ROLE "{place.owner}" CREATEROLE')
    place.migrate()
    made = place.superuser.execute(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = %s", (tenant,)
    )
    assert made.fetchone() == (False, False, False, False)
    with psycopg.connect(place.url) as connection:
        connection.execute(f"SET ROLE {tenant}")
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM outbox")


def test_a_role_that_no_wall_holds_is_refused(place: Place, tenant: str) -> None:
    place.superuser.execute(f'CREATE ROLE {tenant} BYPASSRLS; GRANT {tenant} TO "{place.owner}"')
    with pytest.raises(click.ClickException) as refused:
        place.migrate()
    assert asked_for(refused) == [f"ALTER ROLE {tenant} NOSUPERUSER NOBYPASSRLS;"]
    place.superuser.execute(asked_for(refused)[0])
    place.migrate()


def test_switched_off_it_needs_no_role(place: Place, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROW_LEVEL_SECURITY", "false")
    settings.cache_clear()
    try:
        place.migrate()
    finally:
        settings.cache_clear()
    assert place.tables() > 30
    assert place.superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (tenant,)).fetchone() is None


def test_what_a_role_was_granted_by_others_is_taken_back(place: Place, tenant: str) -> None:
    place.superuser.execute(f'ALTER ROLE "{place.owner}" CREATEROLE')
    place.migrate()
    with psycopg.connect(place.url) as connection:
        connection.execute(f"GRANT SELECT, DELETE ON outbox, mailboxes, transfers TO {tenant}")
    place.migrate()
    with psycopg.connect(place.url) as connection:
        for table in ("outbox", "mailboxes"):
            asked = "SELECT has_table_privilege(%s, %s, 'SELECT')"
            assert connection.execute(asked, (tenant, table)).fetchone() == (False,)
        asked = "SELECT has_table_privilege(%s, 'transfers', 'DELETE')"
        assert connection.execute(asked, (tenant,)).fetchone() == (False,)


def test_an_owner_who_is_no_superuser_serves_everyone_and_each(
    place: Place, new_user: Callable[..., tuple[UUID, int]]
) -> None:
    """As in production. The role is there on this server, and the owner is let become it."""
    with pytest.raises(click.ClickException) as refused:
        place.migrate()
    place.superuser.execute(asked_for(refused)[-1])
    place.migrate()
    with in_use(place.url):
        users = [new_user(100)[0] for _ in range(2)]
        for user_id in users:
            work.submitted(user_id)
        for whom, seen in ((users[0], 1), (Whom.everyone, 2), (Whom.nobody, 0), (users[1], 1)):
            with acting_for(whom):
                for opened in (sessions, readings):
                    with opened() as session:
                        assert session.scalar(select(func.count()).select_from(Job)) == seen
                assert Prepared(select(func.count()).select_from(Job)).read() == (seen,)
        close(engine())
