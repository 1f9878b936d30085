"""The guards of e-mail and of notices. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ATTEMPTS, STAGING, WRITING = (f"models/emails/{name}.py" for name in ("attempts", "staging", "writing"))
LOW, NOTICES, TASK = "models/low_balances.py", "models/notices.py", "tasks/email.py"
SMTP, CIRCUIT, COMPOSE, WORDS, FOLDER = (
    f"worker/mail/{name}.py" for name in ("smtp", "circuit", "compose", "words", "folder")
)

OF_ATTEMPTS = "tests/mail/test_attempts.py -k sqlite"
OF_WRITING = "tests/mail/test_writing.py -k sqlite"
OF_NOTICES = "tests/mail/test_notices.py -k sqlite"
OF_SMTP = "tests/mail/test_smtp.py -k 'not postgresql'"
OF_ENCRYPTION = "tests/mail/test_smtp_encryption.py"
OF_CIRCUIT = "tests/mail/test_circuit.py"
OF_TEMPLATES = "tests/mail/test_templates.py"
OF_FOLDER = "tests/mail/test_folder.py"
OF_LAYOUT = "tests/ops/test_layout.py"

TRYING = [
    Mutant(
        "a mail is claimed by one", ATTEMPTS, "due_at=now(lease_seconds))", "due_at=now())", OF_ATTEMPTS,
    ),
    Mutant(
        "a mail that waits for later is not claimed", ATTEMPTS,
        "Email.state == EmailState.queued, Email.due_at <= now())", "Email.state == EmailState.queued)", OF_ATTEMPTS,
    ),
    Mutant(
        "a mail that has ended is not claimed", ATTEMPTS, "Email.id == email_id, Email.state == EmailState.queued, ",
        "Email.id == email_id, ", OF_ATTEMPTS,
    ),
    Mutant(
        "an attempt that was overtaken changes nothing", ATTEMPTS, ", Email.attempts == claim.attempt", "", OF_ATTEMPTS,
    ),
    Mutant(
        "…but that a server took the mail is true", ATTEMPTS, "trouble=None, fenced=False", "trouble=None", OF_ATTEMPTS,
    ),
    Mutant(
        "an address without an account is forgotten", ATTEMPTS, "recipient=case((Email.user_id.is_(None), null()), ",
        "recipient=case((Email.user_id.is_(None), Email.recipient), ", OF_ATTEMPTS,
    ),
    Mutant(
        "a mail is given up some day", ATTEMPTS, ", Email.created_at > now(-GIVE_UP_SECONDS))", ")", OF_ATTEMPTS,
    ),
    Mutant(
        "a wait ends with a message", ATTEMPTS, "    outbox.stage(session, wake_up(claim.email_id), delay=delay)\n", "",
        OF_ATTEMPTS,
    ),
    Mutant(
        "what was woken is not woken again at once", ATTEMPTS, "        .values(due_at=now())\n",
        "        .values(due_at=Email.due_at)\n", OF_ATTEMPTS,
    ),
    Mutant(
        "beat asks the broker before it wakes mails", TASK, "messages is None or messages >= waiting",
        "messages is None", OF_ATTEMPTS,
    ),
    Mutant(
        "one fact is one mail", STAGING, ".on_conflict_do_nothing(index_elements=[Email.key])", "", OF_WRITING,
    ),
    Mutant(
        "what was sent is written down though the database was away", TASK, "            if pause is None:\n",
        "            if True:\n", OF_SMTP,
    ),
]  # fmt: skip

READERS = [
    Mutant(
        "a mail that proves an address goes to nobody who has it", WRITING,
        "    if template in _PROOFS and _belongs_to_another(session, address, user):\n", "    if False:\n", OF_WRITING,
    ),
    Mutant(
        "a reset goes to the address on record", WRITING,
        "    # To the address on record: the one that was typed may look the same in lower case and be somebody else's "
        'mailbox.\n    return user, user.email or ""\n',
        '    return user, email.recipient or ""\n', OF_WRITING,
    ),
    Mutant(
        "strangers are greeted by no name of another's choice", WRITING, "user is not None and known else None",
        "user is not None else None", OF_WRITING,
    ),
    Mutant(
        "a stranger's account is no business of mine", WRITING,
        "    if user is not None and _belongs_to_another(session, address, user):\n", "    if False:\n", OF_WRITING,
    ),
    Mutant(
        "a link that was used is not sent again", WRITING, "made.used_at is not None or ", "", OF_WRITING,
    ),
    Mutant(
        "a link does not go to another address", WRITING, " or made.email != address.lower()", "", OF_WRITING,
    ),
    Mutant(
        "a link whose time is over is not sent", WRITING,
        "email.attempts > 1 and began <= moment(session, plus=-LIFETIME_SECONDS[purpose])", "False", OF_WRITING,
    ),
    Mutant(
        "notices go to who wants them", WRITING, "User.notices_by_mail, ", "", OF_WRITING,
    ),
    Mutant(
        "…and has the address", WRITING, "User.verified_at.is_not(None), User.email", "User.email", OF_WRITING,
    ),
    Mutant(
        "who is closing wants none", WRITING, "User.id == email.user_id, User.closing_at.is_(None), ",
        "User.id == email.user_id, ", OF_WRITING,
    ),
]  # fmt: skip

GATEWAY = [
    Mutant(
        "what a name encodes stays encoded", WORDS, '.replace("=?", "= ?")', "", OF_SMTP,
    ),
    Mutant(
        "…and what an address encodes is no address", COMPOSE, "    if ENCODED_WORD in valid.local_part:\n",
        "    if False:\n", OF_SMTP,
    ),
    Mutant(
        "all attempts are one mail", COMPOSE, '"Message-ID"] = f"<{letter.email_id}@',
        '"Message-ID"] = f"<{id(letter)}@', OF_SMTP,
    ),
    Mutant(
        "a password is not sent in the clear", SMTP, "elif self._user and not _is_this_machine(self._host):",
        "elif False:", OF_ENCRYPTION,
    ),
    Mutant(
        "certificates are verified", SMTP, "connection.starttls(context=ssl.create_default_context())",
        "connection.starttls(context=ssl._create_unverified_context())", OF_ENCRYPTION,
    ),
    Mutant(
        "what a server took is sent, however it says goodbye", SMTP, "with contextlib.suppress(OSError):",
        "with contextlib.suppress(KeyError):", OF_SMTP,
    ),
    Mutant(
        "a talk ends, however slow", SMTP, "left = self.ends - time.monotonic()", "left = self.timeout", OF_SMTP,
    ),
    Mutant(
        "a server that refuses us refuses no mail", SMTP,
        "(smtplib.SMTPSenderRefused, smtplib.SMTPAuthenticationError) as error",
        "smtplib.SMTPAuthenticationError as error", OF_SMTP,
    ),
    Mutant(
        "nobody waits for a server that is away", SMTP, "with self._circuit.passing():", "if True:", OF_SMTP,
    ),
    Mutant(
        "one finds out how the server is", CIRCUIT, "if self._trying or self._clock()", "if self._clock()", OF_CIRCUIT,
    ),
    Mutant(
        "however that ends, another may ask", CIRCUIT, "                self._trying = False\n",
        "                pass\n", OF_CIRCUIT,
    ),
    Mutant(
        "only a server that is away opens it", CIRCUIT, "isinstance(error, Unavailable) and error.server", "True",
        OF_CIRCUIT,
    ),
    Mutant(
        "money has its currency's digits", "models/money.py", '"JPY", ', "", OF_TEMPLATES,
    ),
    Mutant(
        "mail has a worker of its own", "ops/up.py", '_worker(chosen, "mail", "email", ',
        '_worker(chosen, "mail", "email,payments", ', OF_LAYOUT,
    ),
]  # fmt: skip

TELLING = [
    Mutant(
        "a low balance is told once", LOW, "(wallet.known or not _ever_had(", "(not wallet.known and not _ever_had(",
        OF_NOTICES,
    ),
    Mutant(
        "…and again after it rose", LOW, "    if most < threshold and (wallet.known", "    if (wallet.known",
        OF_NOTICES,
    ),
    Mutant(
        "who never had more is not told", LOW, " or not _ever_had(session, wallet.id, threshold))", ")", OF_NOTICES,
    ),
    Mutant(
        "what jobs hold still counts", LOW, "(Wallet.available + Wallet.held)", "(Wallet.available + 0)", OF_NOTICES,
    ),
    Mutant(
        "what may not be committed is not passed over", LOW, "            return rows[:position]\n",
        "            continue\n", OF_NOTICES,
    ),
    Mutant(
        "what was walked over is not walked over again", LOW,
        "    session.execute(update(LowBalanceWalk).values(transfer_id=walked[-1].id))\n", "", OF_NOTICES,
    ),
    Mutant(
        "who wants no mail has the notice alone", LOW, "if new and wallet.by_mail:", "if new:", OF_NOTICES,
    ),
    Mutant(
        "one mail for each user and run", NOTICES, "    run = run or new_id()\n", "    run = new_id()\n", OF_NOTICES,
    ),
]  # fmt: skip

MAIL = [*TRYING, *READERS, *GATEWAY, *TELLING]
