"""Payments: customers, checkouts, payments, invoices, refunds, disputes, billed subscriptions, the inbox, top-ups.

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")

CLOCK = {"postgresql": "now()", "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"}


ME = "NULLIF(current_setting('coinop.user_id', true), '')::uuid"
MY_PAYMENTS = f"ANY (ARRAY(SELECT payments.id FROM payments WHERE payments.user_id = {ME}))"  # noqa: S608  # constants

BY_USER = ("billed_subscriptions", "checkouts", "customers", "errands", "invoices", "payments", "top_ups")
BY_PAYMENT = ("disputes", "payment_lots", "refunds")

POLICIES = {
    **dict.fromkeys(BY_USER, f"USING (user_id = {ME})"),
    **dict.fromkeys(BY_PAYMENT, f"USING (payment_id = {MY_PAYMENTS})"),
}


def word(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    clock = sa.text(CLOCK[dialect])
    op.create_table(
        "gateway_events",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("state", word("state", "received", "done", "ignored", "failed"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("trouble", sa.String(length=200), nullable=True),
        sa.Column("received_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state = 'received')", name=op.f("ck_gateway_events_ended_with_an_end")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_events")),
    )
    op.create_index(
        "ix_gateway_events_due_at",
        "gateway_events",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'received'"),
        sqlite_where=sa.text("state = 'received'"),
    )
    op.create_index("ix_gateway_events_object_id", "gateway_events", ["object_id"], unique=False)
    op.create_table(
        "mock_objects",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("data", JSON, nullable=False),
        sa.Column("changed_at", MOMENT, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mock_objects")),
        sa.UniqueConstraint("key", name=op.f("uq_mock_objects_key")),
    )
    op.create_index("ix_mock_objects_kind_changed_at", "mock_objects", ["kind", "changed_at"], unique=False)
    op.create_table(
        "reconciliation_marks",
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("reached_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_reconciliation_marks")),
    )
    op.create_table(
        "checkouts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("mode", word("mode", "page", "intent", "off_session"), nullable=False),
        sa.Column("pack", sa.String(length=50), nullable=True),
        sa.Column("plan", sa.String(length=50), nullable=True),
        sa.Column("billing", word("billing", "monthly", "yearly"), nullable=True),
        sa.Column("terms", JSON, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("state", word("state", "creating", "open", "paid", "failed", "expired"), nullable=False),
        sa.Column("gateway_id", sa.String(length=255), nullable=True),
        sa.Column("url", sa.String(length=2000), nullable=True),
        sa.Column("client_secret", sa.String(length=255), nullable=True),
        sa.Column("success_url", sa.String(length=2000), nullable=True),
        sa.Column("cancel_url", sa.String(length=2000), nullable=True),
        sa.Column("problem", sa.String(length=100), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state IN ('creating', 'open'))", name=op.f("ck_checkouts_ended_with_an_end")
        ),
        sa.CheckConstraint("(pack IS NULL) <> (plan IS NULL)", name=op.f("ck_checkouts_one_thing")),
        sa.CheckConstraint("(plan IS NULL) = (billing IS NULL)", name=op.f("ck_checkouts_plans_are_billed")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_checkouts_amount_not_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_checkouts_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_checkouts_gateway_id")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_checkouts_user_id_idempotency_key")),
    )
    op.create_index(
        "ix_checkouts_unfinished",
        "checkouts",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_checkouts_user_id_id", "checkouts", ["user_id", "id"], unique=False)
    op.create_table(
        "customers",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_customers_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_customers")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_customers_gateway_id")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.String(length=255), nullable=True),
        sa.Column("number", sa.String(length=100), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("due", BIG, nullable=False),
        sa.Column("paid", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("page_url", sa.String(length=2000), nullable=True),
        sa.Column("pdf_url", sa.String(length=2000), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("covers_from", MOMENT, nullable=True),
        sa.Column("covers_until", MOMENT, nullable=True),
        sa.Column("proration", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_invoices_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
    )
    op.create_index(op.f("ix_invoices_subscription_id"), "invoices", ["subscription_id"], unique=False)
    op.create_index("ix_invoices_user_id_created_at_id", "invoices", ["user_id", "created_at", "id"], unique=False)
    op.create_table(
        "billed_subscriptions",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", BIG, nullable=True),
        sa.Column("plan", sa.String(length=50), nullable=False),
        sa.Column("plan_version_id", BIG, nullable=False),
        sa.Column("billing", word("billing", "monthly", "yearly"), nullable=False),
        sa.Column("next_plan", sa.String(length=50), nullable=True),
        sa.Column("next_billing", word("next_billing", "monthly", "yearly"), nullable=True),
        sa.Column(
            "status",
            word(
                "status",
                "incomplete",
                "incomplete_expired",
                "trialing",
                "active",
                "past_due",
                "unpaid",
                "paused",
                "canceled",
            ),
            nullable=False,
        ),
        sa.Column("period_starts_at", MOMENT, nullable=False),
        sa.Column("period_ends_at", MOMENT, nullable=False),
        sa.Column("anchor_at", MOMENT, nullable=False),
        sa.Column("paid_until", MOMENT, nullable=False),
        sa.Column("trial_ends_at", MOMENT, nullable=True),
        sa.Column("cancels_at", MOMENT, nullable=True),
        sa.Column("past_due_since", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["plan_version_id"],
            ["plan_versions.id"],
            name=op.f("fk_billed_subscriptions_plan_version_id_plan_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_billed_subscriptions_subscription_id_subscriptions"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_billed_subscriptions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billed_subscriptions")),
    )
    op.create_index("ix_billed_subscriptions_user_id", "billed_subscriptions", ["user_id"], unique=False)
    op.create_index(
        "uq_billed_subscriptions_user_id_going_on",
        "billed_subscriptions",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("invoice_id", sa.String(length=255), nullable=True),
        sa.Column("gateway_id", sa.String(length=255), nullable=False),
        sa.Column("charge_id", sa.String(length=255), nullable=True),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("refunded", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("state", word("state", "pending", "succeeded", "failed"), nullable=False),
        sa.Column("decline", sa.String(length=100), nullable=True),
        sa.Column("receipt_url", sa.String(length=2000), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("paid_at", MOMENT, nullable=True),
        sa.CheckConstraint("(paid_at IS NULL) = (state <> 'succeeded')", name=op.f("ck_payments_paid_when_succeeded")),
        sa.CheckConstraint(
            "amount >= 0 AND refunded >= 0 AND refunded <= amount", name=op.f("ck_payments_refunded_within_amount")
        ),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("fk_payments_checkout_id_checkouts")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_payments_invoice_id_invoices")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_payments_gateway_id")),
    )
    op.create_index("ix_payments_charge_id", "payments", ["charge_id"], unique=False)
    op.create_index(op.f("ix_payments_checkout_id"), "payments", ["checkout_id"], unique=False)
    op.create_index(op.f("ix_payments_invoice_id"), "payments", ["invoice_id"], unique=False)
    op.create_index("ix_payments_user_id_id", "payments", ["user_id", "id"], unique=False)
    op.create_table(
        "top_ups",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("wallet", sa.String(length=50), nullable=False),
        sa.Column("pack", sa.String(length=50), nullable=False),
        sa.Column("threshold", BIG, nullable=False),
        sa.Column("monthly_cap", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("declines", sa.Integer(), nullable=False),
        sa.Column("paused_until", MOMENT, nullable=True),
        sa.Column("stopped_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.CheckConstraint("declines >= 0", name=op.f("ck_top_ups_declines_not_negative")),
        sa.CheckConstraint("threshold > 0 AND monthly_cap > 0", name=op.f("ck_top_ups_amounts_positive")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("fk_top_ups_checkout_id_checkouts")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_top_ups_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_top_ups")),
    )
    op.create_table(
        "disputes",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("restored_at", MOMENT, nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_disputes_amount_positive")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_disputes_payment_id_payments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_payment_id"), "disputes", ["payment_id"], unique=False)
    op.create_table(
        "payment_lots",
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_payment_lots_lot_id_lots")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_payment_lots_payment_id_payments")),
        sa.PrimaryKeyConstraint("payment_id", "lot_id", name=op.f("pk_payment_lots")),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("restored_at", MOMENT, nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount_positive")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id_payments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)
    op.create_table(
        "errands",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", word("kind", "portal", "change_plan", "cancel", "resume", "refund", "undo"), nullable=False),
        sa.Column("about", sa.String(length=255), nullable=False),
        sa.Column("details", JSON, nullable=False),
        sa.Column("state", word("state", "waiting", "done", "failed"), nullable=False),
        sa.Column("answer", JSON, nullable=True),
        sa.Column("problem", sa.String(length=100), nullable=True),
        sa.Column("created_at", MOMENT, server_default=clock, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (state = 'waiting')", name=op.f("ck_errands_ended_with_an_end")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_errands_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errands")),
    )
    op.create_index("ix_errands_user_id_id", "errands", ["user_id", "id"], unique=False)
    op.create_index(
        "ix_errands_waiting",
        "errands",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "uq_errands_about_waiting",
        "errands",
        ["about"],
        unique=True,
        postgresql_where=sa.text("state = 'waiting' AND kind <> 'portal'"),
        sqlite_where=sa.text("state = 'waiting' AND kind <> 'portal'"),
    )
    op.add_column("subscriptions", sa.Column("series", sa.String(length=100), nullable=True))
    op.add_column("subscriptions", sa.Column("paid_until", MOMENT, nullable=True))
    if dialect == "postgresql":
        for table, policy in POLICIES.items():
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_rows ON {table} {policy}")


def downgrade() -> None:
    op.drop_column("subscriptions", "paid_until")
    op.drop_column("subscriptions", "series")
    for table in (
        "errands",
        "refunds",
        "payment_lots",
        "disputes",
        "top_ups",
        "payments",
        "billed_subscriptions",
        "invoices",
        "customers",
        "checkouts",
        "reconciliation_marks",
        "mock_objects",
        "gateway_events",
    ):
        op.drop_table(table)
