"""The guards of who gets in: addresses, links, passwords, log-ins, and how often anybody may try. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

USERS, LINKS, PASSWORDS, SIGNUP, LOGINS, REFERRALS = (
    f"models/{name}.py" for name in ("users", "one_time_tokens", "passwords", "signup", "logins", "referrals")
)
AUTH, LIMITS, PAGES, MIGRATION = (
    "web/auth.py", "web/limits.py", "web/account_pages.py", "migrations/versions/0003_accounts.py",
)  # fmt: skip

OF_SIGNUP, OF_VERIFICATION, OF_PASSWORDS, OF_LOGINS, OF_LIMITS, OF_ENUMERATION = (
    f"tests/accounts/test_{name}.py -k sqlite"
    for name in ("signup", "verification", "passwords", "logins", "limits", "enumeration")
)
OF_COMMANDS = "tests/catalog/test_commands.py -k 'verified_once and sqlite'"
OF_RACES = "tests/races/test_account_races.py"

ADDRESSES = [
    Mutant(
        "an address has one owner", MIGRATION, '"uq_users_email_verified", "users", ["email"], unique=True',
        '"uq_users_email_verified", "users", ["email"], unique=False', OF_SIGNUP,
    ),
    Mutant(
        "who verified an address is asked first", USERS, "return [*verified, *claiming]",
        "return [*claiming, *verified]", OF_LOGINS,
    ),
    Mutant(
        "an address is verified once", USERS, "id == user_id, User.verified_at.is_(None))", "id == user_id)",
        OF_COMMANDS,
    ),
    Mutant(
        "the balance of sign-up tells no address", SIGNUP,
        "mailboxes.claim(session, email)\n        # Asked whether the claim was new or not, so that both take the same "
        "statements.\n        if mailboxes.spelled_alike(session, email):",
        "if mailboxes.claim(session, email):", OF_SIGNUP,
    ),
    Mutant(
        "a mailbox has its credits once, however spelled", SIGNUP, "if mailboxes.spelled_alike(session, email):",
        "if True:", OF_SIGNUP,
    ),
    Mutant(
        "…also when they come at verification", SIGNUP, "and mailboxes.claim(session, email)\n    referrals",
        "\n    referrals", OF_SIGNUP,
    ),
    Mutant("credits wait for the verification", SIGNUP, 'credits_at == "signup":', 'credits_at != "":', OF_SIGNUP),
    Mutant("who had the credits gets no more elsewhere", SIGNUP, "new and had is None and", "new and", OF_VERIFICATION),
    Mutant(
        "a reward locks all wallets in one order", REFERRALS,
        "    ledger.lock_wallets(session, user_id=user_id, also=wallets)\n", "", OF_RACES,
    ),
]  # fmt: skip

ONE_TIME = [
    Mutant(
        "a link works once", LINKS, "OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now(), owned)",
        "OneTimeToken.expires_at > now(), owned)", OF_VERIFICATION,
    ),
    Mutant(
        "a link ends with its time", LINKS, "OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now(), owned)",
        "OneTimeToken.used_at.is_(None), owned)", OF_VERIFICATION,
    ),
    Mutant(
        "a link is good for one purpose", LINKS,
        "return OneTimeToken.token_hash == _hash(token), OneTimeToken.purpose == purpose",
        "return (OneTimeToken.token_hash == _hash(token),)", OF_VERIFICATION,
    ),
    Mutant(
        "a link ends when its mailbox is left", LINKS,
        "        owned = owned.where(User.email == OneTimeToken.email)\n", "        pass\n", OF_VERIFICATION,
    ),
    Mutant(
        "a closing account uses no link", LINKS, "User.id == OneTimeToken.user_id, User.closing_at.is_(None))",
        "User.id == OneTimeToken.user_id)", OF_VERIFICATION,
    ),
    Mutant(
        "one use ends the others", LINKS, "    end_all(session, user_id=used.user_id, purpose=purpose)\n", "",
        OF_VERIFICATION,
    ),
    Mutant(
        "…and many at once make no circle", LINKS,
        "    if user_id is not None:\n        users.lock(session, user_id)\n", "", OF_RACES,
    ),
    Mutant(
        "a new password ends all log-ins", PASSWORDS, "    logins.end_all(session, user_id=used.user_id)\n", "",
        OF_PASSWORDS,
    ),
    Mutant(
        "a new password ends all links", PASSWORDS, "    one_time_tokens.end_all(session, user_id=used.user_id)\n", "",
        OF_PASSWORDS,
    ),
    Mutant(
        "who made an account unproved keeps no key to it", PASSWORDS,
        "        api_keys.revoke_all(session, user_id=used.user_id)\n", "        pass\n", OF_PASSWORDS,
    ),
    Mutant(
        "a new password ends a log-in under way", USERS, "row is None or row.password_hash != user.password_hash",
        "row is None", OF_PASSWORDS,
    ),
]  # fmt: skip

ENTRANCE = [
    Mutant(
        "every log-in takes as many hashes", USERS, "    hashes += [nobody] * (MOST_CANDIDATES - len(hashes))\n", "",
        OF_LOGINS,
    ),
    Mutant(
        "a closing account is nobody's", USERS, "User.email == email.lower(), User.closing_at.is_(None))",
        "User.email == email.lower())", OF_ENUMERATION,
    ),
    Mutant(
        "the suspended do not get in", USERS, "    if row.suspended_at is not None:\n", "    if False:\n", OF_LOGINS,
    ),
    Mutant("…nor go on", LOGINS, "Login.ended_at.is_(None), active)", "Login.ended_at.is_(None))", OF_LOGINS),
    Mutant(
        "the token of an ended log-in ends no other", LOGINS,
        "RefreshToken.id == token_id, Login.ended_at.is_(None))", "RefreshToken.id == token_id)", OF_LOGINS,
    ),
    Mutant(
        "a replay ends the log-in", LOGINS, "        end_by_token(session, token_id=token_id)\n", "", OF_LOGINS,
    ),
]  # fmt: skip

TRIES = [
    Mutant("log-ins are limited", AUTH, "    limits.count_password(body.email)\n", "", OF_LIMITS),
    Mutant("only failures stay counted", AUTH, "    limits.take_back_password(body.email)\n", "", OF_LIMITS),
    Mutant(
        "nobody is locked out from everywhere", LIMITS, 'f"{email} from {_network()}", "password", limit',
        'email, "password", limit', OF_LIMITS,
    ),
    Mutant(
        "guesses from everywhere are limited too", LIMITS, "limit.times(FROM_EVERYWHERE)", "limit.times(10**6)",
        OF_LIMITS,
    ),
    Mutant(
        "an IPv6 network is one caller", LIMITS, "SITE_PREFIX = 64", "SITE_PREFIX = 128", OF_LIMITS,
    ),
    Mutant(
        "all that is open to anybody is limited", AUTH, "api.before_request(limits.count_caller)\n", "", OF_LIMITS,
    ),
    Mutant("…and so are the pages", PAGES, "pages.before_request(limits.count_caller)\n", "", OF_LIMITS),
    Mutant("a mailbox has one limit", LIMITS, "subject=mailbox(email)", "subject=email", OF_LIMITS),
    Mutant(
        "the last try is one", "models/windows.py", "where=over | (counter < most),", "where=over | (counter <= most),",
        OF_RACES,
    ),
]  # fmt: skip

GETTING_IN = [*ADDRESSES, *ONE_TIME, *ENTRANCE, *TRIES]
