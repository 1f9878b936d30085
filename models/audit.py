"""The audit: proof that credits are conserved and every job and spend has one outcome, over the whole database."""

from __future__ import annotations

from itertools import islice

from sqlalchemy.orm import Session

from models import spends
from models.database import is_postgresql
from models.jobs import audit as of_jobs
from models.ledger import audit as of_ledger

MOST_FINDINGS = 1_000


def audit(session: Session) -> list[str]:
    """Everything that does not fit, one sentence each, at most `MOST_FINDINGS`; an empty list is the proof.

    Call it first in its transaction: it looks at one snapshot of the whole database, so running it beside live traffic
    raises no false alarm. Locks nothing and repairs nothing.
    """
    if is_postgresql(session):
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    findings = [*of_ledger.findings(session), *of_jobs.findings(session), *spends.findings(session)]
    return list(islice(findings, MOST_FINDINGS))
