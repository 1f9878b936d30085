"""The catalog's tables: plans and subscriptions, rates, spends, promotions, referrals, notices, saved replies, places.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")

LASTING = "usable AND expires_at IS NOT NULL AND source <> 'daily' AND source <> 'weekly'"

CLOCK = {"postgresql": "now()", "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"}

RESET_IS_DUE = (
    "CONSTRAINT ck_wallets_reset_is_due CHECK (reset_at IS NULL OR (due_at IS NOT NULL AND due_at <= reset_at))"
)


def word(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    clock = sa.text(CLOCK[dialect])
    op.create_table(
        "plan_versions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("plan", sa.String(length=50), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("terms", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_versions")),
        sa.UniqueConstraint("plan", "digest", name=op.f("uq_plan_versions_plan_digest")),
    )
    op.create_table(
        "promotion_uses",
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("redeemed", sa.Integer(), nullable=False),
        sa.CheckConstraint("redeemed >= 0", name=op.f("ck_promotion_uses_redeemed_not_negative")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_promotion_uses")),
    )
    op.create_table(
        "notices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("topic", word("topic", "credits_expiring"), nullable=False),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("details", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_notices_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("ref", name=op.f("uq_notices_ref")),
    )
    op.create_index("ix_notices_user_id_id", "notices", ["user_id", "id"], unique=False)

    op.create_table(
        "places",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("limit_name", sa.String(length=50), nullable=False),
        sa.Column("item", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_places_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "limit_name", "item", name=op.f("pk_places")),
    )
    op.create_table(
        "plan_allowances",
        sa.Column("plan_version_id", BIG, nullable=False),
        sa.Column("wallet", sa.String(length=50), nullable=False),
        sa.Column("period", word("period", "daily", "weekly", "cycle"), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("rollover", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_plan_allowances_amount_positive")),
        sa.ForeignKeyConstraint(
            ["plan_version_id"], ["plan_versions.id"], name=op.f("fk_plan_allowances_plan_version_id_plan_versions")
        ),
        sa.PrimaryKeyConstraint("plan_version_id", "wallet", "period", name=op.f("pk_plan_allowances")),
    )
    op.create_table(
        "rate_windows",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used > 0", name=op.f("ck_rate_windows_used_positive")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_rate_windows_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("pk_rate_windows")),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("given", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_redemptions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
        sa.UniqueConstraint("user_id", "code", name=op.f("uq_redemptions_user_id_code")),
    )
    op.create_index("ix_redemptions_user_id_id", "redemptions", ["user_id", "id"], unique=False)

    op.create_table(
        "referral_codes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_referral_codes_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_referral_codes")),
        sa.UniqueConstraint("code", name=op.f("uq_referral_codes_code")),
    )
    op.create_table(
        "referrals",
        sa.Column("referred_id", sa.Uuid(), nullable=False),
        sa.Column("referrer_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("rewarded_at", MOMENT, nullable=True),
        sa.CheckConstraint("referrer_id <> referred_id", name=op.f("ck_referrals_not_self")),
        sa.ForeignKeyConstraint(["referred_id"], ["users.id"], name=op.f("fk_referrals_referred_id_users")),
        sa.ForeignKeyConstraint(["referrer_id"], ["users.id"], name=op.f("fk_referrals_referrer_id_users")),
        sa.PrimaryKeyConstraint("referred_id", name=op.f("pk_referrals")),
    )
    op.create_index("ix_referrals_referrer_id", "referrals", ["referrer_id"], unique=False)

    op.create_table(
        "spends",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("wallet", sa.String(length=50), nullable=False),
        sa.Column("input", JSON, nullable=False),
        sa.Column("breakdown", JSON, nullable=False),
        sa.Column("charged", BIG, nullable=False),
        sa.Column("balance_after", BIG, nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.CheckConstraint("charged >= 0", name=op.f("ck_spends_charged_not_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_spends_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spends")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_spends_user_id_idempotency_key")),
    )
    op.create_index("ix_spends_user_id_id", "spends", ["user_id", "id"], unique=False)

    op.create_table(
        "subscriptions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_version_id", BIG, nullable=False),
        sa.Column("origin", word("origin", "signup", "admin", "promo", "payment"), nullable=False),
        sa.Column("billing", word("billing", "monthly", "yearly"), nullable=True),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("started_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("anchor_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "ended_at IS NULL OR ended_at >= started_at", name=op.f("ck_subscriptions_ends_after_start")
        ),
        sa.ForeignKeyConstraint(
            ["plan_version_id"], ["plan_versions.id"], name=op.f("fk_subscriptions_plan_version_id_plan_versions")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_subscriptions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("ref", name=op.f("uq_subscriptions_ref")),
    )
    op.create_index(
        "ix_subscriptions_ends_at",
        "subscriptions",
        ["ends_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL AND ends_at IS NOT NULL"),
        sqlite_where=sa.text("ended_at IS NULL AND ends_at IS NOT NULL"),
    )
    op.create_index("ix_subscriptions_user_id", "subscriptions", ["user_id"], unique=False)
    op.create_index(
        "uq_subscriptions_user_id_open",
        "subscriptions",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )

    op.create_table(
        "saved_replies",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("output", sa.Integer(), nullable=False),
        sa.Column("suggestion", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_saved_replies_job_id_jobs")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_saved_replies_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_replies")),
        sa.UniqueConstraint("job_id", "output", "suggestion", name=op.f("uq_saved_replies_job_id_output_suggestion")),
    )
    op.create_index("ix_saved_replies_user_id_id", "saved_replies", ["user_id", "id"], unique=False)

    op.create_index(
        "ix_lots_expires_at_id",
        "lots",
        ["expires_at", "id"],
        unique=False,
        postgresql_where=sa.text(LASTING),
        sqlite_where=sa.text(LASTING),
    )
    op.create_index(
        "ix_transfers_wallet_id_released",
        "transfers",
        ["wallet_id"],
        unique=False,
        postgresql_where=sa.text("reason = 'release'"),
        sqlite_where=sa.text("reason = 'release'"),
    )
    if dialect == "postgresql":
        # What is sold is shown in the order of the preset, which jsonb forgets.
        op.execute("ALTER TABLE catalog_versions ALTER COLUMN document TYPE json")
    op.add_column("users", sa.Column("verified_at", MOMENT, nullable=True))
    # In one statement with its constraint, which SQLite can only add to a table together with a column.
    moment = {"postgresql": "timestamptz", "sqlite": "VARCHAR(26)"}[dialect]
    op.execute(f"ALTER TABLE wallets ADD COLUMN reset_at {moment} {RESET_IS_DUE}")


def downgrade() -> None:
    for table in (
        "saved_replies",
        "subscriptions",
        "spends",
        "referrals",
        "referral_codes",
        "redemptions",
        "rate_windows",
        "plan_allowances",
        "places",
        "notices",
        "promotion_uses",
        "plan_versions",
    ):
        op.drop_table(table)
    op.drop_index("ix_transfers_wallet_id_released", "transfers")
    op.drop_index("ix_lots_expires_at_id", "lots")
    op.drop_column("users", "verified_at")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE catalog_versions ALTER COLUMN document TYPE jsonb")
        op.drop_column("wallets", "reset_at")
    # SQLite cannot drop a column that a constraint names; it stays, and harms nobody.
