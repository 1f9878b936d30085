"""The guards between users: whom a request acts for, and the walls that hold it there. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

POLICIES = "migrations/versions/0004_walls_between_users.py"
ROLE, WIRE, DATABASE = (f"models/{name}.py" for name in ("walls", "wire", "database"))
ACTING, TOKENS, ENDED = (f"web/{name}.py" for name in ("acting", "tokens", "ended"))

OF_WALLS = "tests/security/test_row_level.py"
OF_TRACES = "tests/security/test_row_level_traces.py"
OF_REQUESTS = "tests/security/test_row_level_requests.py"
OF_ROLE = "tests/security/test_row_level_role.py"

WALLS = [
    Mutant("every table of users has its wall", POLICIES, '    "saved_replies",\n', "", OF_WALLS),
    Mutant(
        "a wall is switched on", POLICIES,
        '        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")\n',
        '        if table != "notices":\n            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")\n',
        OF_WALLS,
    ),
    Mutant(
        "credits are those of one's own wallets", POLICIES,
        "USING (wallet_id = {MY_WALLETS})", "USING (wallet_id > 0 AND {ME} IS NOT NULL)", OF_WALLS,
    ),
    Mutant(
        "refresh tokens are those of one's own log-ins", POLICIES,
        "USING (login_id = {MY_LOGINS})", "USING ({ME} IS NOT NULL)", OF_WALLS,
    ),
    Mutant(
        "a user's own account is the only one", POLICIES,
        '"users": f"USING (id = {ME})"', '"users": f"USING ({ME} IS NOT NULL)"', OF_WALLS,
    ),
    Mutant(
        "what admins did is told to whom it was done to", POLICIES,
        "target = 'user:' || ({ME})::text", "target LIKE 'user:%'", OF_WALLS,
    ),
    Mutant(
        "what has no owner is not open for that", ROLE,
        'Shared("INSERT", "names of tasks', 'Shared("SELECT, INSERT", "names of tasks', OF_ROLE,
    ),
    Mutant(
        "what a role was granted before is taken back", ROLE,
        """    run(f"REVOKE ALL ON {', '.join(tables)} FROM {TENANT}")\n""", "", OF_ROLE,
    ),
    Mutant(
        "a role that no wall holds is refused", ROLE, "    if _sees_everything(connection):\n", "    if False:\n",
        OF_ROLE,
    ),
    Mutant(
        "a lone statement leaves no role behind", WIRE,
        "_ACT = f\"SELECT set_config('role', '{TENANT}', true)",
        "_ACT = f\"SELECT set_config('role', '{TENANT}', false)", OF_TRACES,
    ),
    Mutant(
        "a lone statement leaves no user behind", WIRE,
        "set_config('{USER}', $1, true)", "set_config('{USER}', $1, false)", OF_TRACES,
    ),
    Mutant(
        "a transaction leaves no role behind", WIRE,
        "_BEGIN = f\"SELECT set_config('role', '{TENANT}', true)",
        "_BEGIN = f\"SELECT set_config('role', '{TENANT}', false)", OF_TRACES,
    ),
    Mutant(
        "a transaction leaves no user behind", WIRE,
        "set_config('{USER}', '%s', true)", "set_config('{USER}', '%s', false)", OF_TRACES,
    ),
    Mutant(
        "what is committed is waited for", WIRE,
        "        if result.status == ExecStatus.FATAL_ERROR:\n            raise",
        "        if result.status == ExecStatus.FATAL_ERROR and result is results[0]:\n            raise", OF_TRACES,
    ),
    Mutant(
        "what was broken off is not used again", DATABASE,
        "        if pooled.is_valid and not lone.line.idle:\n", "        if False:\n", OF_TRACES,
    ),
    Mutant(
        "a transaction acts for the caller", DATABASE,
        "with SessionFactory(bind=engine(), info={_USER: _user()}) as session,",
        "with SessionFactory(bind=engine()) as session,", OF_WALLS,
    ),
    Mutant(
        "a reading acts for the caller", DATABASE,
        "    user, source = _user(), engine()\n", "    user, source = None, engine()\n", OF_WALLS,
    ),
    Mutant(
        "a lone statement acts for the caller", DATABASE,
        "        self.user = _user()\n", "        self.user = None\n", OF_WALLS,
    ),
    Mutant(
        "a reading cannot write", DATABASE, "info={_USER: user, _READ_ONLY: True}", "info={_USER: user}", OF_WALLS,
    ),
    Mutant(
        "a request whose caller is not known finds nothing", ACTING,
        "    acting.act_for(Whom.nobody)\n", "    acting.act_for(Whom.everyone)\n", OF_REQUESTS,
    ),
    Mutant(
        "a request acts for its caller", TOKENS,
        "    acting.act_for(caller.user_id)\n", "    acting.act_for(acting.Whom.everyone)\n", OF_REQUESTS,
    ),
    Mutant(
        "what is streamed is made for the caller", ACTING,
        "            with acting.acting_for(whom):\n                chunk",
        "            if True:\n                chunk", OF_REQUESTS,
    ),
    Mutant(
        "a request is over when it is", ACTING,
        "def _request_is_over(_: BaseException | None) -> None:\n    acting.act_for(Whom.everyone)\n",
        "def _request_is_over(_: BaseException | None) -> None:\n    pass\n", OF_REQUESTS,
    ),
    Mutant(
        "ended log-ins are read for all", ENDED,
        "with everyone(), readings() as session:", "with readings() as session:", OF_REQUESTS,
    ),
    Mutant(
        "the relay works for all", "worker/relay.py",
        "        act_for(Whom.everyone)\n", "        act_for(Whom.nobody)\n", OF_REQUESTS,
    ),
]  # fmt: skip
