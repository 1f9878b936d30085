"""Where Alembic meets the product: the tables of `models/` and the database of the settings."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection

import models.tables  # noqa: F401  # every table must be known before they are compared
from config import settings
from models import partitions
from models.database import Base, make_engine


def run(connection: Connection) -> None:
    split = connection.dialect.name == "postgresql" and {part.table for part in partitions.parts(connection)}

    def compared(thing: Any, name: str | None, kind: str, reflected: bool, counterpart: Any) -> bool:
        """Whether what the code and the database have may not differ. Partitions are their parent in pieces; each has
        the unique constraint of the whole."""
        if not split:
            return True
        return not ((kind == "table" and name in split) or (kind == "unique_constraint" and name == "uq_transfers_ref"))

    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter most things in place; batch mode copies the table instead.
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=compared,
        # All migrations of one run succeed together or leave the database as it was.
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with make_engine(settings().database_url).connect() as connection:
        run(connection)
        connection.commit()
