"""Jobs: the customer's orders, from acceptance to their one outcome.

    queued → running → completed | failed
    queued → canceled | expired          running → canceling → canceled

`orders.py` checks and prices a request, `submission.py` accepts it, `line.py` calls it when its turn has come,
`runs.py` claims, keeps and finishes it, `cancellation.py` stops it, `rescue.py` catches what fell, `snapshots.py` shows
it, `needs.py` says what it must still find, `attempts.py` what each run of it took, `outputs.py` which of its files
are kept, `erasure.py` forgets what it was about, `endings.py` notes who can be told. `express.py` is the fast way
through submission and completion on PostgreSQL.
"""

from models.jobs.attempts import Attempt, Effort, Ending, note_taken_over
from models.jobs.attempts import of_job as attempts_of
from models.jobs.cancellation import cancel_waiting, request_cancel
from models.jobs.endings import ENDED
from models.jobs.erasure import erase, forget_old, to_erase
from models.jobs.line import call_next, call_waiting, in_line
from models.jobs.orders import LONGEST_WAIT_SECONDS, Order, order
from models.jobs.rescue import PAGE, expire_waiting, rescue_silent, waiting, wake_again
from models.jobs.runs import (
    Claim,
    cancel,
    canceling,
    claim,
    complete,
    complete_at_once,
    complete_free,
    extend,
    fail,
    provider_began,
    retry,
)
from models.jobs.snapshots import Snapshot, counts, get, page, read
from models.jobs.submission import Submission, submit, submit_at_once, submit_step_by_step
from models.jobs.tables import FINAL, LIVE, Job, JobSlots, Queue, Status
from models.jobs.wakeups import RUN_TASK

__all__ = [
    "ENDED",
    "FINAL",
    "LIVE",
    "LONGEST_WAIT_SECONDS",
    "PAGE",
    "RUN_TASK",
    "Attempt",
    "Claim",
    "Effort",
    "Ending",
    "Job",
    "JobSlots",
    "Order",
    "Queue",
    "Snapshot",
    "Status",
    "Submission",
    "attempts_of",
    "call_next",
    "call_waiting",
    "cancel",
    "cancel_waiting",
    "canceling",
    "claim",
    "complete",
    "complete_at_once",
    "complete_free",
    "counts",
    "erase",
    "expire_waiting",
    "extend",
    "fail",
    "forget_old",
    "get",
    "in_line",
    "note_taken_over",
    "order",
    "page",
    "provider_began",
    "read",
    "request_cancel",
    "rescue_silent",
    "retry",
    "submit",
    "submit_at_once",
    "submit_step_by_step",
    "to_erase",
    "waiting",
    "wake_again",
]
