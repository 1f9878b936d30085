"""One attempt at a job by a prediction service: create or resume, wait, take what was made.

The id of a prediction is stored before anything else is done with it, so that a later attempt asks for it instead of
paying twice; should we die before that, the next attempt creates with the same idempotency key. An attempt whose time
is over leaves the prediction running for the next one, and only the last stops it. A prediction that failed, was
stopped or is gone is superseded: the key of the next one is made of the job and of the one before, so that this
happens once, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Self

import structlog

from config import Settings
from config.basis import told as plain
from worker.ai.predictions.inputs import NAMES, told
from worker.ai.predictions.lengths import seconds_of
from worker.ai.predictions.outputs import FAMILY, Gone, take
from worker.ai.predictions.service import Prediction, Service, as_data_url
from worker.ai.provider import (
    Artefact,
    Call,
    Canceled,
    Generation,
    Lost,
    ProviderError,
    Refused,
    Unavailable,
    Unfinished,
)
from worker.fetching import Deadline

log = structlog.get_logger(__name__)

OURS = "predictions:"
STORED = re.compile(rf"{OURS}(?P<id>[A-Za-z0-9_-]+)")
"""How an id is stored, so that no other backend's is taken for one."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, GROWTH = 0.5, 5.0, 1.5
"""How often to ask: each wait is longer than the last."""

MOST_TROUBLES = 5
"""How often in a row asking may fail before the attempt is given up; the prediction is not."""

CANCEL_SECONDS = 5.0

INLINE_BYTES = 256 * 1024
"""Pictures up to here go along with the request; larger ones are brought to the service first."""

BETWEEN_ATTEMPTS_SECONDS = 60.0
"""The longest back-off (`models/jobs/runs.py`)."""


class PredictionsProvider:
    """Shares nothing that changes but the connections, so any number of threads may use one instance."""

    def __init__(self, service: Service, *, output_bytes: int, attempts: int, attempt_seconds: float) -> None:
        self._service = service
        self._output_bytes = output_bytes
        self._attempts = attempts
        self._lifetime = attempts * (attempt_seconds + BETWEEN_ATTEMPTS_SECONDS)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        service = Service(
            settings.predictions_url,
            plain(settings.predictions_api_key),
            output_bytes=settings.predictions_output_bytes,
        )
        return cls(
            service,
            output_bytes=settings.predictions_output_bytes,
            attempts=settings.max_attempts,
            attempt_seconds=settings.run_limit_seconds,
        )

    def generate(self, call: Call) -> Generation:
        """Make what `call` asks for. Raises `ProviderError`, and `Canceled` when the prediction has been stopped."""
        if call.kind not in NAMES:
            raise Refused("provider_refused", f"The provider does not do {call.kind}.")
        deadline = Deadline(call.timeout)
        earlier = _own(call.request_id)
        if earlier and (made := self._resumed(call, earlier, deadline)):
            return made
        prediction = self._created(call, earlier, deadline)
        call.began(OURS + prediction.id)
        return self._taken(call, self._awaited(call, prediction, deadline), deadline)

    def _resumed(self, call: Call, prediction_id: str, deadline: Deadline) -> Generation | None:
        """What an earlier attempt began, or None if nothing will come of it any more."""
        with self._minding(call, prediction_id):
            found = self._next(call, prediction_id, 0, deadline)
        if found is None or _is_lost(found):
            return None
        try:
            return self._taken(call, self._awaited(call, found, deadline), deadline)
        except Gone:
            return None

    def _created(self, call: Call, earlier: str | None, deadline: Deadline) -> Prediction:
        values = told(call.kind, call.input, lambda: self._picture(call, deadline))
        key = f"{call.job_id}-{earlier}" if earlier else str(call.job_id)
        return self._service.create(call.model, values, key=key, cancel_after=self._lifetime, within=deadline)

    def _picture(self, call: Call, deadline: Deadline) -> str:
        """The picture of the call as the service takes it."""
        picture = call.picture()
        where = self._service.bring(picture, within=deadline) if len(picture.data) > INLINE_BYTES else None
        return where or as_data_url(picture)

    def _awaited(self, call: Call, prediction: Prediction, deadline: Deadline) -> Prediction:
        """The prediction once it is over."""
        wait = FIRST_WAIT_SECONDS
        with self._minding(call, prediction.id):
            while not prediction.over:
                found = self._next(call, prediction.id, max(wait, prediction.retry_after or 0), deadline)
                if found is None:
                    raise Unfinished("provider_error", "The provider has lost the work.")
                prediction, wait = found, min(wait * GROWTH, LONGEST_WAIT_SECONDS)
        return prediction

    @contextmanager
    def _minding(self, call: Call, prediction_id: str) -> Iterator[None]:
        """While a prediction is waited for: whoever stops waiting for good stops it."""
        try:
            yield
        except Lost:
            raise
        except Canceled:
            self._stop(prediction_id)
            raise
        except Unavailable as error:
            if call.attempt >= self._attempts:
                self._stop(prediction_id)
            else:
                error.usage = {}  # the attempt that takes it counts it
            raise

    def _next(self, call: Call, prediction_id: str, wait: float, deadline: Deadline) -> Prediction | None:
        """How the prediction is after so many seconds, or None if it is unknown. Passing trouble is waited out."""
        troubles = 0
        while True:
            _pause(call, wait, deadline)
            try:
                return self._service.get(prediction_id, within=deadline)
            except Unavailable as error:
                troubles += 1
                wait = max(FIRST_WAIT_SECONDS * 2**troubles, error.retry_after or 0)
                if troubles == MOST_TROUBLES or wait > _left(deadline):
                    raise

    def _stop(self, prediction_id: str) -> None:
        try:
            self._service.cancel(prediction_id, within=Deadline(CANCEL_SECONDS))
        except ProviderError as error:
            log.warning("prediction_not_canceled", prediction=prediction_id, code=error.code)

    def _taken(self, call: Call, prediction: Prediction, deadline: Deadline) -> Generation:
        """What came of a prediction that is over."""
        if prediction.status == "failed":
            if prediction.filtered:
                words = "The provider's content filter refused this request."
                raise Refused("content_filtered", words, usage=_worked(prediction) or None)
            words = "The provider could not do the work."
            raise Unfinished("provider_error", words, usage=_worked(prediction) or None)
        if prediction.status != "succeeded":
            words = "The work was stopped at the provider."
            raise Unfinished("provider_error", words, usage=_worked(prediction) or None)
        try:
            files = take(self._service, call.kind, prediction.output, most_bytes=self._output_bytes, within=deadline)
        except (Gone, Refused) as error:
            error.usage = _usage(call, prediction)
            raise
        except Unavailable as error:
            error.usage = {}  # the attempt that takes it counts it
            raise
        return Generation(files, _usage(call, prediction, files), request_id=OURS + prediction.id)


def _own(request_id: str | None) -> str | None:
    """The id of a prediction that was stored, if it is one."""
    found = STORED.fullmatch(request_id or "")
    return found["id"] if found else None


def _is_lost(found: Prediction) -> bool:
    """Whether nothing will come of what an earlier attempt began. A filter would say the same another time."""
    if found.status == "succeeded":
        return found.data_removed or found.output is None
    return found.over and not found.filtered


def _left(deadline: Deadline) -> float:
    try:
        return deadline.left(float("inf"))
    except TimeoutError:
        return 0.0


def _pause(call: Call, seconds: float, deadline: Deadline) -> None:
    """Wait. Raises `Canceled`; and `Unavailable`, at once, when there is no time to ask again after that."""
    in_time = seconds < _left(deadline)
    call.pause(seconds if in_time else 0)
    if not in_time:
        later = seconds if seconds > LONGEST_WAIT_SECONDS else None
        raise Unfinished("provider_timeout", "The provider did not finish in time.", retry_after=later)


def _usage(call: Call, prediction: Prediction, files: tuple[Artefact, ...] = ()) -> dict[str, int]:
    """What is made, in `images` or `seconds`, and the seconds that the model worked. A film that does not say how long
    it is has the length that was ordered."""
    if FAMILY[call.kind] == "image":
        return {"images": len(files) or 1} | _worked(prediction)
    lengths = [seconds_of(file.data) for file in files]
    made = sum(length for length in lengths if length) if lengths and all(lengths) else int(call.input["seconds"])
    return {"seconds": made} | _worked(prediction)


def _worked(prediction: Prediction) -> dict[str, int]:
    return {} if prediction.seconds is None else {"predict_seconds": ceil(prediction.seconds)}
