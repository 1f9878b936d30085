"""E-mails: what is to be told by mail, from the moment it is certain until a server has taken it.

A verb stages an e-mail in the transaction that makes it true; a worker claims it, has it written here, sends it and
notes what came of it. `key` names the fact, so it is told once. A worker that dies after a server took the mail, and
before that was noted, leaves it to be sent again; so each e-mail has one Message-ID for all its attempts, by which a
mail server or client that sees it twice knows it for the same.
"""

from models.emails.attempts import (
    FIRST_WAIT_SECONDS,
    GIVE_UP_SECONDS,
    LONGEST_WAIT_SECONDS,
    Claim,
    backoff,
    claim,
    drop,
    erase,
    forget_old,
    put_off,
    refuse,
    sent,
    waiting,
    wake_again,
)
from models.emails.staging import DELIVER_TASK, QUEUE, stage
from models.emails.tables import Email, EmailState
from models.emails.templates import DETAILS, NOTICES, OPTIONAL, Template
from models.emails.writing import Letter, wants_notices, write

__all__ = [
    "DELIVER_TASK",
    "DETAILS",
    "FIRST_WAIT_SECONDS",
    "GIVE_UP_SECONDS",
    "LONGEST_WAIT_SECONDS",
    "NOTICES",
    "OPTIONAL",
    "QUEUE",
    "Claim",
    "Email",
    "EmailState",
    "Letter",
    "Template",
    "backoff",
    "claim",
    "drop",
    "erase",
    "forget_old",
    "put_off",
    "refuse",
    "sent",
    "stage",
    "waiting",
    "wake_again",
    "wants_notices",
    "write",
]
