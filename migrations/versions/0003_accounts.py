"""Accounts: log-ins, one-time tokens, API keys, mailboxes, e-mails, uploads, tries, the audit log; low balances.

From here on an address belongs to the account that verified it, and several may name it; a closed account has none.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")

CLOCK = {"postgresql": "now()", "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"}

APPEND_ONLY = {
    "postgresql": [
        """
        CREATE FUNCTION refuse_to_rewrite_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
        END $$
        """,
        """
        CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION refuse_to_rewrite_audit_log()
        """,
        """
        CREATE TRIGGER audit_log_never_truncated BEFORE TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_audit_log()
        """,
    ],
    "sqlite": [
        """
        CREATE TRIGGER audit_log_never_updated BEFORE UPDATE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
        """
        CREATE TRIGGER audit_log_never_deleted BEFORE DELETE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
    ],
}


def word(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def _topics(*topics: str) -> None:
    """Let notices be about these and no others."""
    condition = f"topic IN ({', '.join(repr(topic) for topic in topics)})"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_notices_topic"), "notices", type_="check")
        op.create_check_constraint(op.f("ck_notices_topic"), "notices", condition)
        return
    # The copy that SQLite makes of the table has no CHECK but the one that is named here.
    with op.batch_alter_table("notices") as notices:
        notices.create_check_constraint(op.f("ck_notices_topic"), condition)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    clock = sa.text(CLOCK[dialect])
    op.create_table(
        "audit_log",
        sa.Column("id", BIG, nullable=False),
        sa.Column("actor", word("actor", "admin", "admin_key", "command"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("verb", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_target_id", "audit_log", ["target", "id"], unique=False)
    op.create_table(
        "mailboxes",
        sa.Column("mailbox_hash", sa.String(length=64), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("mailbox_hash", name=op.f("pk_mailboxes")),
    )
    op.create_table(
        "try_windows",
        sa.Column("subject_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("tried", sa.Integer(), nullable=False),
        sa.CheckConstraint("tried >= 0", name=op.f("ck_try_windows_tried_not_negative")),
        sa.PrimaryKeyConstraint("subject_hash", "name", name=op.f("pk_try_windows")),
    )
    op.create_index("ix_try_windows_ends_at", "try_windows", ["ends_at"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("hint", sa.String(length=20), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index("ix_api_keys_user_id_id", "api_keys", ["user_id", "id"], unique=False)
    op.create_table(
        "emails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("template", sa.String(length=50), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("recipient", sa.String(length=254), nullable=True),
        sa.Column("details", JSON, nullable=False),
        sa.Column("state", word("state", "queued", "sent", "refused", "dropped"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("trouble", sa.String(length=200), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (state = 'queued')", name=op.f("ck_emails_ended_with_an_end")),
        sa.CheckConstraint(
            "user_id IS NOT NULL OR recipient IS NOT NULL OR state <> 'queued'", name=op.f("ck_emails_has_somebody")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_emails_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("key", name=op.f("uq_emails_key")),
    )
    op.create_index(
        "ix_emails_due_at",
        "emails",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_emails_user_id_id", "emails", ["user_id", "id"], unique=False)
    op.create_table(
        "low_balances",
        sa.Column("wallet_id", BIG, autoincrement=False, nullable=False),
        sa.Column("seen_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_low_balances_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_low_balances")),
    )
    op.create_table(
        "low_balance_walks",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("transfer_id", BIG, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_low_balance_walks_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_low_balance_walks")),
    )
    # What moved before there was this walk is not told now.
    op.execute("INSERT INTO low_balance_walks (id, transfer_id) SELECT 1, COALESCE(MAX(id), 0) FROM transfers")
    op.create_table(
        "logins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("last_used_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_logins_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
    )
    op.create_index(
        "ix_logins_ended_at",
        "logins",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
        sqlite_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("ix_logins_user_id_id", "logins", ["user_id", "id"], unique=False)
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", word("purpose", "verify_email", "reset_password", "change_email"), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_one_time_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_one_time_tokens_token_hash")),
    )
    op.create_index(op.f("ix_one_time_tokens_expires_at"), "one_time_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_one_time_tokens_user_id"), "one_time_tokens", ["user_id"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("media_type", sa.String(length=50), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("size > 0 AND width > 0 AND height > 0", name=op.f("ck_uploads_has_a_picture")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_uploads_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("key", name=op.f("uq_uploads_key")),
    )
    op.create_index(op.f("ix_uploads_expires_at"), "uploads", ["expires_at"], unique=False)
    op.create_index("ix_uploads_user_id_id", "uploads", ["user_id", "id"], unique=False)
    for statement in APPEND_ONLY[dialect]:
        op.execute(statement)

    _topics("credits_expiring", "low_balance")

    # What was a family of refresh tokens is a log-in now.
    op.execute("INSERT INTO logins (id, user_id) SELECT DISTINCT family_id, user_id FROM refresh_tokens")
    op.drop_index("ix_refresh_tokens_family_id", "refresh_tokens")
    op.drop_index("ix_refresh_tokens_user_id", "refresh_tokens")
    with op.batch_alter_table("refresh_tokens") as tokens:
        tokens.drop_constraint("fk_refresh_tokens_user_id_users", type_="foreignkey")
        tokens.drop_column("user_id")
        tokens.alter_column("family_id", new_column_name="login_id")
    with op.batch_alter_table("refresh_tokens") as tokens:
        tokens.create_foreign_key("fk_refresh_tokens_login_id_logins", "logins", ["login_id"], ["id"])
    op.create_index("ix_refresh_tokens_login_id", "refresh_tokens", ["login_id"])

    with op.batch_alter_table("users") as users:
        users.drop_constraint("uq_users_email", type_="unique")
        users.alter_column("email", existing_type=sa.String(length=254), nullable=True)
        users.alter_column("password_hash", existing_type=sa.String(length=200), nullable=True)
        users.add_column(sa.Column("name", sa.String(length=100), nullable=True))
        users.add_column(sa.Column("notices_by_mail", sa.Boolean(), server_default=sa.true(), nullable=False))
        users.add_column(
            sa.Column("role", word("role", "user", "support", "admin"), server_default="user", nullable=False)
        )
        users.add_column(sa.Column("suspended_at", MOMENT, nullable=True))
        users.add_column(sa.Column("closing_at", MOMENT, nullable=True))
        users.add_column(sa.Column("closed_at", MOMENT, nullable=True))
        users.create_check_constraint(
            op.f("ck_users_reachable"),
            "closed_at IS NOT NULL OR (email IS NOT NULL AND password_hash IS NOT NULL)",
        )
        users.create_check_constraint(
            op.f("ck_users_erased"),
            "closed_at IS NULL OR COALESCE(email, password_hash, name) IS NULL",
        )
    verified = sa.text("verified_at IS NOT NULL")
    op.create_index("ix_users_email", "users", ["email"], postgresql_ops={"email": "varchar_pattern_ops"})
    admins = sa.text("role = 'admin'")
    op.create_index("ix_users_id_admin", "users", ["id"], postgresql_where=admins, sqlite_where=admins)
    closing = sa.text("closing_at IS NOT NULL AND closed_at IS NULL")
    op.create_index("ix_users_closing_at", "users", ["closing_at"], postgresql_where=closing, sqlite_where=closing)
    op.create_index(
        "uq_users_email_verified", "users", ["email"], unique=True, postgresql_where=verified, sqlite_where=verified
    )


def downgrade() -> None:
    """Everybody is logged out. It fails when an address is named twice or an account is closed: 0002 has no place
    for either."""
    with op.batch_alter_table("users") as users:
        for constraint in ("ck_users_erased", "ck_users_reachable", "ck_users_role"):
            users.drop_constraint(op.f(constraint), type_="check")
        users.drop_index("uq_users_email_verified")
        users.drop_index("ix_users_closing_at")
        users.drop_index("ix_users_id_admin")
        users.drop_index("ix_users_email")
        for column in ("name", "notices_by_mail", "role", "suspended_at", "closing_at", "closed_at"):
            users.drop_column(column)
        users.alter_column("email", existing_type=sa.String(length=254), nullable=False)
        users.alter_column("password_hash", existing_type=sa.String(length=200), nullable=False)
        users.create_unique_constraint("uq_users_email", ["email"])
    op.execute("DELETE FROM refresh_tokens")
    op.drop_index("ix_refresh_tokens_login_id", "refresh_tokens")
    with op.batch_alter_table("refresh_tokens") as tokens:
        tokens.drop_constraint("fk_refresh_tokens_login_id_logins", type_="foreignkey")
        tokens.alter_column("login_id", new_column_name="family_id")
    with op.batch_alter_table("refresh_tokens") as tokens:
        tokens.add_column(sa.Column("user_id", sa.Uuid(), nullable=False))
        tokens.create_foreign_key("fk_refresh_tokens_user_id_users", "users", ["user_id"], ["id"])
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["family_id"])
    op.create_index("ix_refresh_tokens_user_id", "refresh_tokens", ["user_id"])
    op.execute("DELETE FROM notices WHERE topic = 'low_balance'")
    _topics("credits_expiring")
    for table in (
        "uploads",
        "one_time_tokens",
        "logins",
        "low_balance_walks",
        "low_balances",
        "emails",
        "api_keys",
        "try_windows",
        "mailboxes",
        "audit_log",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_rewrite_audit_log()")
