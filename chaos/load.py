"""The customers: they order jobs over HTTP, try again when they must, cancel some, and poll all to the end."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chaos.plan import Order

TIMEOUT_SECONDS = 6.0
"""How long a customer waits for an answer: less than the longest time the front door is frozen for."""

POLL_SECONDS = 1.0
IDLE_SECONDS = 0.2
"""How soon a waiting customer notices that the run was called off."""

FINAL = ("completed", "failed", "canceled", "expired")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, in seconds of the monotonic clock.

    `since` is when its connection last worked, so a break at any time after that explains a `fault`. `status` is None
    when no whole answer came.
    """

    what: str
    since: float
    start: float
    end: float
    status: int | None
    fault: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's outcome, as its customer saw it first."""

    status: str
    charged: int
    refunded: int


@dataclass(slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: dict[str, Any]


@dataclass(slots=True)
class Records:
    """What the customers know in the end. `receipts` maps an order's number to its job, `accepted` counts its 202s."""

    receipts: dict[int, UUID] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    endings: dict[UUID, Ending] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""

    def add(self, other: Records) -> None:
        self.receipts |= other.receipts
        self.accepted |= other.accepted
        self.endings |= other.endings
        self.calls += other.calls
        self.wrong += other.wrong


@dataclass(slots=True)
class _Task:
    at: float
    do: Callable[[], float | None]
    """Does it; when it is not over, says in how many seconds to go on."""


class Customer(threading.Thread):
    """One customer at one connection. `began` is the start of the run on the monotonic clock."""

    def __init__(self, port: int, token: str, orders: Sequence[Order], began: float, stop: threading.Event) -> None:
        super().__init__(name="customer", daemon=True)
        self.records = Records()
        self._port = port
        self._token = token
        self._began = began
        self._stop_asked = stop
        self._connection: http.client.HTTPConnection | None = None
        self._worked = 0.0
        self._dice = random.Random(orders[0].key if orders else 0)
        self._tasks = [_Task(began + order.at, self._submission(order)) for order in orders]

    def run(self) -> None:
        while self._tasks and not self._stop_asked.is_set():
            task = min(self._tasks, key=lambda each: each.at)
            early = task.at - time.monotonic()
            if early > 0:
                time.sleep(min(early, IDLE_SECONDS))
                continue
            again = task.do()
            if again is None:
                self._tasks.remove(task)
            else:
                task.at = time.monotonic() + again
        if self._connection is not None:
            self._connection.close()

    # -- what a customer does

    def _submission(self, order: Order) -> Callable[[], float | None]:
        body: dict[str, Any] = {"action": order.action, "input": order.input}
        if order.expires_in is not None:
            body["expires_in"] = order.expires_in
        repeats = 1 if order.repeat else 0

        def submit() -> float | None:
            nonlocal repeats
            answer = self._ask("submit", "POST", "/v1/jobs", body, {"Idempotency-Key": order.key})
            if answer is None or answer.status >= 500:
                return self._dice.uniform(0.1, 0.8)
            if answer.status == 429:
                return float(answer.headers.get("Retry-After", "1"))
            if answer.status != 202:
                self._complain(order, f"was refused with {answer.status}: {answer.body.get('detail')}")
                return None
            self._accepted(order, answer)
            if repeats:
                repeats -= 1
                return self._dice.uniform(0, 2)
            return None

        return submit

    def _accepted(self, order: Order, answer: Answer) -> None:
        job_id = UUID(answer.body["id"])
        known = self.records.receipts.setdefault(order.number, job_id)
        if known != job_id:
            self._complain(order, f"was accepted as two jobs: {known} and {job_id}")
        times = self.records.accepted[order.number] = self.records.accepted.get(order.number, 0) + 1
        if times > 1:
            if answer.headers.get("Idempotency-Replayed") != "true":
                self._complain(order, "was repeated, and the answer does not say so")
            return
        now = time.monotonic()
        self._tasks.append(_Task(now + POLL_SECONDS, self._polling(job_id)))
        if order.cancel_after is not None:
            self._tasks.append(_Task(now + order.cancel_after, self._canceling(order, job_id)))

    def _canceling(self, order: Order, job_id: UUID) -> Callable[[], float | None]:
        def cancel() -> float | None:
            answer = self._ask("cancel", "POST", f"/v1/jobs/{job_id}/cancel")
            if answer is None or answer.status >= 500:
                return self._dice.uniform(0.1, 0.8)
            if answer.status not in (200, 202, 409):
                self._complain(order, f"could not be canceled: {answer.status}")
            return None

        return cancel

    def _polling(self, job_id: UUID) -> Callable[[], float | None]:
        tag = ""

        def poll() -> float | None:
            nonlocal tag
            answer = self._ask("poll", "GET", f"/v1/jobs/{job_id}", headers={"If-None-Match": tag} if tag else {})
            if answer is not None and answer.status == 200:
                tag = answer.headers.get("ETag", "")
                if answer.body["status"] in FINAL:
                    cost = answer.body["cost"]
                    self.records.endings[job_id] = Ending(answer.body["status"], cost["charged"], cost["refunded"])
                    return None
            elif answer is not None and answer.status not in (304, 500, 502, 503):
                self.records.wrong.append(f"job {job_id} could not be polled: {answer.status}")
                return None
            return POLL_SECONDS

        return poll

    def _complain(self, order: Order, what: str) -> None:
        self.records.wrong.append(f"order {order.number} {what}")

    # -- the wire

    def _ask(
        self, what: str, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer | None:
        start = time.monotonic()
        connection = self._connection
        since = self._worked if connection is not None else start
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        sent = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            raw = response.read()
            parsed = json.loads(raw) if raw else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            self._connection = None
            self._note(Call(what, since, start, time.monotonic(), None, fault=type(error).__name__))
            return None
        end = self._worked = time.monotonic()
        self._connection = connection
        if response.will_close:
            connection.close()
            self._connection = None
        code = parsed.get("code", "") if response.status >= 400 else ""
        self._note(Call(what, since, start, end, response.status, code=code))
        return Answer(response.status, response.headers, parsed)

    def _note(self, call: Call) -> None:
        self.records.calls.append(call)
