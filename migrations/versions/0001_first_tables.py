"""The first tables: users, catalog, ledger, jobs, outbox; and the triggers that keep transfers as they were written.

Revision: 0001, after None
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")

CLOCK = {"postgresql": "now()", "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"}

NEVER_CHANGED = {
    "postgresql": [
        """
        CREATE FUNCTION refuse_to_rewrite_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'transfers are append-only' USING ERRCODE = 'restrict_violation';
        END $$
        """,
        """
        CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON transfers
        FOR EACH ROW EXECUTE FUNCTION refuse_to_rewrite_transfers()
        """,
        """
        CREATE TRIGGER transfers_never_truncated BEFORE TRUNCATE ON transfers
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_transfers()
        """,
    ],
    "sqlite": [
        """
        CREATE TRIGGER transfers_never_updated BEFORE UPDATE ON transfers
        BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END
        """,
        """
        CREATE TRIGGER transfers_never_deleted BEFORE DELETE ON transfers
        BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END
        """,
    ],
}


def word(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    clock = sa.text(CLOCK[dialect])
    op.create_table(
        "catalog_versions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.Column("loaded_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_versions")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task", sa.String(length=100), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.String(length=50), nullable=False),
        sa.Column("args", JSON, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_due_at", "outbox", ["due_at"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "job_slots",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("taken", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("taken >= 0", name=op.f("ck_job_slots_taken_not_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_job_slots_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_job_slots")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column(
            "kind",
            word("kind", "chat", "vision", "image", "image_edit", "upscale", "video", "speech", "lipsync"),
            nullable=False,
        ),
        sa.Column("queue", word("queue", "generation", "generation.high"), nullable=False),
        sa.Column(
            "status",
            word("status", "queued", "running", "canceling", "completed", "failed", "canceled", "expired"),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("input", JSON, nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("wallet", sa.String(length=50), nullable=False),
        sa.Column("breakdown", JSON, nullable=False),
        sa.Column("cancel_charge", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("estimate", BIG, nullable=False),
        sa.Column("held", BIG, nullable=False),
        sa.Column("charged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("refunded", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", MOMENT, server_default=clock, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("provider_request_id", sa.String(length=255), nullable=True),
        sa.Column("outputs", JSON, nullable=True),
        sa.Column("usage", JSON, nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=500), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(status IN ('queued', 'running', 'canceling')) = (finished_at IS NULL)",
            name=op.f("ck_jobs_finished_when_final"),
        ),
        sa.CheckConstraint(
            "charged >= 0 AND refunded >= 0 AND charged + refunded <= held", name=op.f("ck_jobs_within_hold")
        ),
        sa.CheckConstraint("finished_at IS NULL OR charged + refunded = held", name=op.f("ck_jobs_one_outcome")),
        sa.CheckConstraint("held <= estimate", name=op.f("ck_jobs_held_within_estimate")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_jobs_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_jobs_user_id_idempotency_key")),
    )
    op.create_index(
        "ix_jobs_expires_at",
        "jobs",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND expires_at IS NOT NULL"),
        sqlite_where=sa.text("status = 'queued' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_lease_until",
        "jobs",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status IN ('running', 'canceling')"),
        sqlite_where=sa.text("status IN ('running', 'canceling')"),
    )
    op.create_index(
        "ix_jobs_run_after",
        "jobs",
        ["run_after"],
        unique=False,
        postgresql_where=sa.text("status = 'queued'"),
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_index("ix_jobs_user_id_id", "jobs", ["user_id", "id"], unique=False)

    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_refresh_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
    )
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"], unique=False)
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["family_id"], unique=False)
    op.create_index("ix_refresh_tokens_user_id", "refresh_tokens", ["user_id"], unique=False)

    op.create_table(
        "wallets",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("available", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("held", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("debt", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.CheckConstraint("available >= 0", name=op.f("ck_wallets_available_not_negative")),
        sa.CheckConstraint("debt >= 0", name=op.f("ck_wallets_debt_not_negative")),
        sa.CheckConstraint("held >= 0", name=op.f("ck_wallets_held_not_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_wallets_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
        sa.UniqueConstraint("user_id", "kind", name=op.f("uq_wallets_user_id_kind")),
    )
    op.create_index(
        "ix_wallets_due_at",
        "wallets",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )

    op.create_table(
        "lots",
        sa.Column("id", BIG, nullable=False),
        sa.Column("wallet_id", BIG, nullable=False),
        sa.Column(
            "source",
            word("source", "signup", "purchase", "plan", "daily", "weekly", "promo", "referral", "admin"),
            nullable=False,
        ),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("issued", BIG, nullable=False),
        sa.Column("available", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("held", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("spent", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("expired", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clawed_back", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("usable", sa.Boolean(), sa.Computed("available > 0", persisted=True), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.CheckConstraint("available + held + spent + expired + clawed_back = issued", name=op.f("ck_lots_conserved")),
        sa.CheckConstraint(
            "issued > 0 AND available >= 0 AND held >= 0 AND spent >= 0 AND expired >= 0 AND clawed_back >= 0",
            name=op.f("ck_lots_not_negative"),
        ),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_lots_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lots")),
        sa.UniqueConstraint("ref", name=op.f("uq_lots_ref")),
    )
    op.create_index("ix_lots_wallet_id", "lots", ["wallet_id"], unique=False)
    op.create_index(
        "ix_lots_wallet_id_usable",
        "lots",
        ["wallet_id"],
        unique=False,
        postgresql_where=sa.text("usable"),
        sqlite_where=sa.text("usable"),
    )

    op.create_table(
        "clawbacks",
        sa.Column("id", BIG, nullable=False),
        sa.Column("wallet_id", BIG, nullable=False),
        sa.Column("lot_id", BIG, nullable=False),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("taken", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("debt", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("paid", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("restored_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.CheckConstraint(
            "amount > 0 AND taken >= 0 AND debt >= 0 AND taken + debt <= amount",
            name=op.f("ck_clawbacks_within_amount"),
        ),
        sa.CheckConstraint("paid >= 0 AND paid <= debt", name=op.f("ck_clawbacks_paid_within_debt")),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_clawbacks_lot_id_lots")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_clawbacks_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clawbacks")),
        sa.UniqueConstraint("ref", name=op.f("uq_clawbacks_ref")),
    )
    op.create_index("ix_clawbacks_lot_id", "clawbacks", ["lot_id"], unique=False)
    op.create_index(
        "ix_clawbacks_wallet_id_open",
        "clawbacks",
        ["wallet_id"],
        unique=False,
        postgresql_where=sa.text("paid < debt AND restored_at IS NULL"),
        sqlite_where=sa.text("paid < debt AND restored_at IS NULL"),
    )

    op.create_table(
        "transfers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("wallet_id", BIG, nullable=False),
        sa.Column("lot_id", BIG, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column(
            "source", word("source", "issued", "available", "held", "spent", "expired", "clawed_back"), nullable=False
        ),
        sa.Column(
            "target", word("target", "issued", "available", "held", "spent", "expired", "clawed_back"), nullable=False
        ),
        sa.Column(
            "reason",
            word("reason", "grant", "hold", "settle", "release", "spend", "expire", "clawback", "restore"),
            nullable=False,
        ),
        sa.Column("ref", sa.String(length=250), nullable=False),
        sa.Column("balance_after", BIG, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("clawback_id", BIG, nullable=True),
        sa.Column("details", JSON, nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_amount_positive")),
        sa.CheckConstraint("source <> target", name=op.f("ck_transfers_moves")),
        sa.ForeignKeyConstraint(["clawback_id"], ["clawbacks.id"], name=op.f("fk_transfers_clawback_id_clawbacks")),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_transfers_lot_id_lots")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_transfers_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("ref", name=op.f("uq_transfers_ref")),
    )
    op.create_index(
        "ix_transfers_clawback_id",
        "transfers",
        ["clawback_id"],
        unique=False,
        postgresql_where=sa.text("clawback_id IS NOT NULL"),
        sqlite_where=sa.text("clawback_id IS NOT NULL"),
    )
    op.create_index(
        "ix_transfers_job_id",
        "transfers",
        ["job_id"],
        unique=False,
        postgresql_where=sa.text("job_id IS NOT NULL"),
        sqlite_where=sa.text("job_id IS NOT NULL"),
    )
    op.create_index("ix_transfers_wallet_id_id", "transfers", ["wallet_id", "id"], unique=False)

    for statement in NEVER_CHANGED[dialect]:
        op.execute(statement)
    if dialect == "postgresql":
        # Rows that change often leave room on their page, so that their next version fits beside them.
        for table in ("wallets", "lots", "job_slots", "jobs"):
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


def downgrade() -> None:
    for table in (
        "transfers",
        "clawbacks",
        "lots",
        "wallets",
        "refresh_tokens",
        "jobs",
        "job_slots",
        "users",
        "outbox",
        "catalog_versions",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_rewrite_transfers()")
