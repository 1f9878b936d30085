"""Walls between users: on PostgreSQL the rows of each table that belongs to users are seen by their user alone, but for
the owner of the tables (docs/adr/0008).

Whom a transaction acts for is in the setting `coinop.user_id`. What the role that users' requests run as may do at all
is granted after every migration (`models/walls.py`): a role belongs to the whole server, and may have to be made by
somebody else.

Revision: 0004, after 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ME = "NULLIF(current_setting('coinop.user_id', true), '')::uuid"
# Worked out once in a statement, and good for an index, which a subquery for each row would not be.
MY_WALLETS = f"ANY (ARRAY(SELECT wallets.id FROM wallets WHERE wallets.user_id = {ME}))"  # noqa: S608  # constants
MY_LOGINS = f"ANY (ARRAY(SELECT logins.id FROM logins WHERE logins.user_id = {ME}))"  # noqa: S608

BY_USER = (
    "api_keys",
    "emails",
    "job_slots",
    "jobs",
    "logins",
    "notices",
    "one_time_tokens",
    "places",
    "rate_windows",
    "redemptions",
    "referral_codes",
    "saved_replies",
    "spends",
    "subscriptions",
    "uploads",
    "wallets",
)
BY_WALLET = ("clawbacks", "lots", "low_balances", "transfers")

POLICIES = {
    "users": f"USING (id = {ME})",
    **dict.fromkeys(BY_USER, f"USING (user_id = {ME})"),
    **dict.fromkeys(BY_WALLET, f"USING (wallet_id = {MY_WALLETS})"),
    "refresh_tokens": f"USING (login_id = {MY_LOGINS})",
    # What admins did about a user is part of what is exported.
    "audit_log": f"USING (target = 'user:' || ({ME})::text)",
    "referrals": f"USING (referred_id = {ME} OR referrer_id = {ME})",
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, policy in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {table} {policy}")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in POLICIES:
        op.execute(f"DROP POLICY own_rows ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
