"""The guards of one's own account, of API keys, of what admins decide, of export and closing. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

USERS, KEYS, PASSWORDS, ADDRESSES, ADMINISTRATION, CLOSING, EXPORT, REFERRALS, LOGINS = (
    f"models/{name}.py"
    for name in (
        "users", "api_keys", "passwords", "addresses", "administration", "closing", "export", "referrals", "logins",
    )
)  # fmt: skip
ENDED, TOKENS, ME, DOORS, EXPORTS = "web/ended.py", "web/tokens.py", "web/me.py", "web/admin/doors.py", "web/exports.py"
MAINTENANCE, MIGRATION, ERASURE = (
    "tasks/maintenance.py",
    "migrations/versions/0003_accounts.py",
    "models/jobs/erasure.py",
)

OF_ME, OF_SESSIONS, OF_KEYS, OF_ADMIN, OF_EXPORT, OF_CLOSING = (
    f"tests/accounts/test_{name}.py -k sqlite" for name in ("me", "sessions", "api_keys", "admin", "export", "closing")
)
OF_ADMIN_PG = "tests/accounts/test_admin.py -k 'rewritten and postgresql'"
OF_EXPORT_PG = "tests/accounts/test_export.py -k 'pages and postgresql'"

ENDING = [
    Mutant(
        "an ended log-in opens nothing", TOKENS, "caller.login_id is None or _ended.has(caller.login_id)",
        "caller.login_id is None", OF_SESSIONS,
    ),
    Mutant(
        "the list of ended log-ins is read anew", ENDED,
        "        if time.monotonic() - self._read_at >= REFRESH_SECONDS:",
        "        if self._read_at == NEVER:", OF_SESSIONS,
    ),
    Mutant(
        "…once for many requests", ENDED, "            self._read_at = began\n", "            self._read_at = NEVER\n",
        OF_SESSIONS,
    ),
    Mutant(
        "…by one, while the others go on", ENDED, "timeout=PATIENCE_SECONDS if long_ago else 0",
        "timeout=PATIENCE_SECONDS", OF_SESSIONS,
    ),
    Mutant(
        "…but not after a long silence", ENDED, "timeout=PATIENCE_SECONDS if long_ago else 0", "timeout=0", OF_SESSIONS,
    ),
    Mutant(
        "nobody waits twice for a database that is away", ENDED, "            self._failed_at = time.monotonic()\n",
        "            self._failed_at = NEVER\n", OF_SESSIONS,
    ),
    Mutant(
        "only one's own sessions are ended", LOGINS, "Login.id == login_id, Login.user_id == user_id)) is None",
        "Login.id == login_id)) is None", OF_SESSIONS,
    ),
]  # fmt: skip

API_KEYS = [
    Mutant(
        "a key has the scope of the call", TOKENS, "    if needed not in scopes:\n", "    if False:\n", OF_KEYS,
    ),
    Mutant(
        "a scope to read is none to write", TOKENS, "read if request.method in READING else write", "read or write",
        OF_KEYS,
    ),
    Mutant(
        "where no scope is named no key is let in", TOKENS, "require_user = callers()",
        "require_user = callers(read=Scope.account_read, write=Scope.account_read)", OF_KEYS,
    ),
    Mutant(
        "who may not read credits is not shown them", TOKENS,
        "if caller.scopes is None or Scope.credits_read in caller.scopes:", "if True:", OF_KEYS,
    ),
    Mutant(
        "a revoked key opens nothing", KEYS, "        ApiKey.revoked_at.is_(None),\n        or_", "        or_",
        OF_KEYS,
    ),
    Mutant(
        "a key ends with its time", KEYS,
        "        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()),\n", "", OF_KEYS,
    ),
    Mutant(
        "a suspended user's keys open nothing", KEYS, "        User.suspended_at.is_(None),\n", "", OF_ADMIN,
    ),
    Mutant("what is known of a key is good for a while", TOKENS, "known[1] > time.monotonic()", "True", OF_KEYS),
    Mutant(
        "only one's own keys are revoked", KEYS, "ApiKey.id == key_id, ApiKey.user_id == user_id)",
        "ApiKey.id == key_id)", OF_KEYS,
    ),
    Mutant(
        "a use is noted once a minute", KEYS, ".where(ApiKey.id == key_id, _unnoted)", ".where(ApiKey.id == key_id)",
        OF_KEYS,
    ),
    Mutant("there is an end to keys", KEYS, "if has is not None and has >= MOST_KEYS:", "if False:", OF_KEYS),
    Mutant(
        "…also when many are made at once", KEYS, "    users.lock(session, user_id)\n    has", "    has",
        "tests/accounts/test_api_keys.py -k many_at_once",
    ),
    Mutant("a key is kept as a hash", KEYS, "        key_hash=_hash(text),", "        key_hash=text,", OF_KEYS),
]  # fmt: skip

MINE = [
    Mutant("the current password is asked for", ME, "    users.check_password(user, password)\n", "", OF_ME),
    Mutant("guesses at it have a limit", ME, "    limits.count_proof(user_id)\n", "", OF_ME),
    Mutant("…and right ones do not count", ME, "    limits.take_back_proof(user_id)\n", "", OF_ME),
    Mutant("mails to strangers have a limit by account", ME, "    limits.count_move(user.id)\n", "", OF_ME),
    Mutant("…and by mailbox", ME, "    limits.count_mail(body.email)\n", "", OF_ME),
    Mutant(
        "of two new passwords at once one is taken", PASSWORDS, "    users.admit(session, user)\n", "", OF_ME,
    ),
    Mutant(
        "a new password ends the other sessions", PASSWORDS,
        "    logins.end_all(session, user_id=user.id, but=here)\n", "", OF_ME,
    ),
    Mutant("…and not this one", PASSWORDS, ", but=here)", ")", OF_ME),
    Mutant(
        "…and the links for another", PASSWORDS,
        "    one_time_tokens.end_all(session, user_id=user.id, purpose=Purpose.reset_password)\n", "", OF_ME,
    ),
    Mutant("the old address is told", ADDRESSES, "    if old != used.email:\n", "    if False:\n", OF_ME),
    Mutant(
        "a new address is verified by its link", ADDRESSES,
        "    signup.verify(session, catalog, user_id=used.user_id)\n", "", OF_ME,
    ),
]  # fmt: skip

ADMINS = [
    Mutant(
        "a role is needed", DOORS, "if role is not Role.admin and not (", "if False and not (", OF_ADMIN,
    ),
    Mutant(
        "support changes nothing", DOORS, "role is Role.support and request.method in tokens.READING)",
        "role is Role.support)", OF_ADMIN,
    ),
    Mutant(
        "who is suspended has no role", USERS, "User.id == user_id, User.suspended_at.is_(None), User.closing_at",
        "User.id == user_id, User.closing_at", OF_ADMIN,
    ),
    Mutant("without an admin key none is right", DOORS, "return key is not None and scheme", "return scheme", OF_ADMIN),
    Mutant("an admin key is a bearer", DOORS, ' and scheme == "Bearer" and right', " and right", OF_ADMIN),
    Mutant(
        "nobody decides about themselves", ADMINISTRATION,
        "    if by.actor_id == user_id:\n        raise OwnAccount(\"Nobody changes",
        "    if False:\n        raise OwnAccount(\"Nobody changes", OF_ADMIN,
    ),
    Mutant(
        "…nor about their own plan", ADMINISTRATION,
        "    if by.actor_id == user_id:\n        raise OwnAccount(\"Nobody decides",
        "    if False:\n        raise OwnAccount(\"Nobody decides", "tests/admin",
    ),
    Mutant(
        "somebody stays an admin", ADMINISTRATION, "if was_admin and not user.acts_as_admin and not other_admins:",
        "if False:", OF_ADMIN,
    ),
    Mutant(
        "…who can act", USERS, "sum(user.acts_as_admin for user in rows if",
        "sum(user.role is Role.admin for user in rows if",
        OF_ADMIN,
    ),
    Mutant(
        "…also when two remove each other", USERS,
        "        .order_by(User.id)\n        .with_for_update(key_share=True)\n",
        "        .order_by(User.id)\n", "tests/accounts/test_admin.py -k remove_each_other",
    ),
    Mutant(
        "who is suspended is logged out", ADMINISTRATION, "    if user.suspended_at is not None:\n        logins",
        "    if False:\n        logins", OF_ADMIN,
    ),
    Mutant(
        "the search takes no patterns", "models/directory.py", "startswith(wanted.lower(), autoescape=True)",
        "startswith(wanted.lower())", OF_ADMIN,
    ),
    Mutant(
        "an address that nobody proved gets no role", "web/commands/users.py",
        "if user_of(session, email).verified_at is None:", "if False:", OF_ADMIN,
    ),
    Mutant(
        "PostgreSQL: the audit log is not updated", MIGRATION, "BEFORE UPDATE OR DELETE ON audit_log",
        "BEFORE DELETE ON audit_log", OF_ADMIN_PG,
    ),
    Mutant(
        "PostgreSQL: the audit log is not deleted", MIGRATION, "BEFORE UPDATE OR DELETE ON audit_log",
        "BEFORE UPDATE ON audit_log", OF_ADMIN_PG,
    ),
    Mutant(
        "PostgreSQL: the audit log is not truncated", MIGRATION, "BEFORE TRUNCATE ON audit_log",
        "BEFORE TRUNCATE ON mailboxes", OF_ADMIN_PG,
    ),
    Mutant(
        "SQLite: the audit log is not updated", MIGRATION, "audit_log_never_updated BEFORE UPDATE ON audit_log\n",
        "audit_log_never_updated BEFORE UPDATE ON audit_log WHEN 0\n", OF_ADMIN,
    ),
    Mutant(
        "SQLite: the audit log is not deleted", MIGRATION, "audit_log_never_deleted BEFORE DELETE ON audit_log\n",
        "audit_log_never_deleted BEFORE DELETE ON audit_log WHEN 0\n", OF_ADMIN,
    ),
]  # fmt: skip

LEAVING = [
    Mutant("an export has no hashes", EXPORT, '_but("user_id", "key_hash")', '_but("user_id")', OF_EXPORT),
    Mutant(
        "an export names no other user", EXPORTS, '"lots": _moved, "transfers": _moved', '"lots": _moved', OF_EXPORT,
    ),
    Mutant(
        "an export ends where others begin", EXPORT, "(owner, *after), column <= owner]", "(owner, *after)]",
        OF_EXPORT_PG,
    ),
    Mutant("an export is read page by page", EXPORT, "        .limit(PAGE)\n", "", OF_EXPORT),
    Mutant(
        "the last admin does not leave", CLOSING, "if fresh.acts_as_admin and not other_admins:", "if False:",
        OF_ADMIN,
    ),
    Mutant("who leaves is logged out", CLOSING, "    logins.end_all(session, user_id=user.id)\n", "", OF_CLOSING),
    Mutant(
        "what waits is canceled when somebody leaves", CLOSING,
        "    jobs.cancel_waiting(session, user_id=user.id)\n", "", OF_CLOSING,
    ),
    Mutant("what runs is settled first", CLOSING, "user_id=user_id) == 0", "user_id=user_id) >= 0", OF_CLOSING),
    Mutant(
        "what was let in before is waited for", USERS, "User.closing_at <= now(-seconds)", "User.closing_at <= now()",
        OF_CLOSING,
    ),
    Mutant(
        "jobs are erased while their files can be found", CLOSING,
        " or jobs.to_erase(session, user_id=user_id, limit=1):", ":", OF_CLOSING,
    ),
    Mutant("an account is closed once", CLOSING, "    if address is None:\n", "    if False:\n", OF_CLOSING),
    Mutant(
        "what jobs made is deleted", MAINTENANCE, "            storage().delete_all(str(job_id))\n",
        "            pass\n",
        OF_CLOSING,
    ),
    Mutant(
        "uploads are deleted", MAINTENANCE, "    storage().delete_all(uploads.folder(user_id))\n", "", OF_CLOSING,
    ),
    Mutant("what jobs were about is forgotten", ERASURE, "            input={},\n", "", OF_CLOSING),
    Mutant("…and what came of it", ERASURE, "job_ids, outputs=null()", "job_ids, outputs=Job.outputs", OF_CLOSING),
    Mutant("…and what they were called", ERASURE, "            idempotency_key=None,\n", "", OF_CLOSING),
    Mutant(
        "what spends were for is forgotten", CLOSING, "    spends.erase(session, user_id=user_id)\n", "", OF_CLOSING,
    ),
    Mutant(
        "what is left expires", CLOSING, "        ledger.forfeit(session, wallet_id=wallet_id)\n", "        pass\n",
        OF_CLOSING,
    ),
    Mutant("the plan ends", CLOSING, "    plans.leave(session, user_id=user_id)\n", "", OF_CLOSING),
    Mutant("mails are forgotten", CLOSING, "    emails.erase(session, user_id=user_id)\n", "", OF_CLOSING),
    Mutant(
        "where one was logged in is forgotten", CLOSING, "    logins.erase(session, user_id=user_id)\n", "", OF_CLOSING,
    ),
    Mutant(
        "…and not that one no longer is", LOGINS,
        "    erased = update(Login).where(Login.user_id == user_id).values(user_agent=None, address=None)\n",
        "    erased = delete(Login).where(Login.user_id == user_id)\n", OF_CLOSING,
    ),
    Mutant("places are given back", CLOSING, "    places.free_all(session, user_id=user_id)\n", "", OF_CLOSING),
    Mutant(
        "the code brings nobody any more", CLOSING, "    referrals.forget_code(session, user_id=user_id)\n", "",
        OF_CLOSING,
    ),
    *(
        Mutant(f"{name} are forgotten", CLOSING, f"{name}, ", "", OF_CLOSING)
        for name in ("uploads", "notices", "one_time_tokens")
    ),
    Mutant("saved replies are forgotten", CLOSING, "(saved_replies, ", "(", OF_CLOSING),
    Mutant(
        "who has gone is rewarded for nobody", REFERRALS, "if is_there and times < terms.cap:",
        "if times < terms.cap:", OF_CLOSING,
    ),
    Mutant(
        "one account that cannot be closed keeps no other", MAINTENANCE,
        "        except Exception:\n            # One account",
        "        except ZeroDivisionError:\n            # One account",
        OF_CLOSING,
    ),
]  # fmt: skip

ACCOUNTS = [*ENDING, *API_KEYS, *MINE, *ADMINS, *LEAVING]
