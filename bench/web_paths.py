"""The two paths of the front door: accept and poll, each beside its bare view; and beside itself without the wall that
row-level security puts between users."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from bench import stock
from bench.house import House, running
from bench.load import UNIQUE, Load, Plan, fire, get, post
from bench.report import Row, compared, costs, rates
from bench.watch import published
from ops.embedded import free_port

ROUNDS = 5
SECONDS = 4.0
POLLED = 1_000
NO_WALL = {"ROW_LEVEL_SECURITY": "false"}
WALL = "Row-level security: the same with ROW_LEVEL_SECURITY=false is its baseline."


def accept(house: House, seconds: float = SECONDS) -> tuple[list[Row], list[str]]:
    """`POST /v1/jobs` beside a view with three raw statements and a publish. No worker runs meanwhile."""
    bare, _ = stock.bare(house)
    made = stock.product(house)
    their_requests = [post("/jobs", {"user_id": n, **stock.REQUEST}) for n in range(stock.USERS)]
    our_requests = [
        post("/v1/jobs", stock.REQUEST, Authorization=f"Bearer {token}", Idempotency_Key=UNIQUE.decode())
        for token in stock.access_tokens(made.users).values()
    ]
    theirs: list[Load] = []
    ours: list[Load] = []
    open_: list[Load] = []
    outbox: list[tuple[int, float]] = []
    for _ in range(ROUNDS):
        theirs.append(_measure(house, bare, their_requests, seconds, bare=True))
        ours.append(_measure(house, made.template, our_requests, seconds, outbox))
        open_.append(_measure(house, made.template, our_requests, seconds, settings=NO_WALL))
    left, more = _middle(n for n, _ in outbox), _middle(seconds for _, seconds in outbox)
    accepted = min(load.share(202) for load in (*ours, *open_))
    return [*rows("accept", theirs, ours, target=1.0), *_wall("accept", open_, ours)], [
        f"**accept**: `POST /v1/jobs` with JWT, validation, a new `Idempotency-Key` each time, {stock.USERS} users, "
        "hold and outbox; beside a Flask view with three raw statements in one transaction and `apply_async`. Both run "
        f"under the gunicorn of `make up`. {accepted:.1%} were accepted. p50/p99 {times(ours)} beside "
        f"{times(theirs)}. Publishing goes on in the same processes: when the load ended {left:,.0f} "
        f"messages were still to be published, which took {more:.1f} s more. {WALL}",
    ]


def poll(house: House, seconds: float = SECONDS) -> tuple[list[Row], list[str]]:
    """`GET /v1/jobs/{id}` beside a view with one raw select; and the same with `If-None-Match`."""
    bare, their_jobs = stock.bare(house, queued=POLLED)
    made = stock.product(house, queued=POLLED)
    tokens = stock.access_tokens(made.users)
    signed = [(job, f"Bearer {tokens[user]}") for job, user in made.jobs]
    plain = [get(f"/v1/jobs/{job}", Authorization=bearer) for job, bearer in signed]
    tagged = [get(f"/v1/jobs/{job}", Authorization=bearer, If_None_Match=f'"{job.hex}-1"') for job, bearer in signed]
    raw = [get(f"/jobs/{job}") for job in their_jobs]
    theirs: list[Load] = []
    ours: list[Load] = []
    open_: list[Load] = []
    unchanged: list[Load] = []
    for _ in range(ROUNDS):
        theirs.append(_measure(house, bare, raw, seconds, bare=True))
        ours.append(_measure(house, made.template, plain, seconds))
        open_.append(_measure(house, made.template, plain, seconds, settings=NO_WALL))
        unchanged.append(_measure(house, made.template, tagged, seconds))
    share = min(*(load.share(200) for load in (*ours, *open_)), *(load.share(304) for load in unchanged))
    return [
        *rows("poll", theirs, ours, target=0.8),
        *_wall("poll", open_, ours),
        *rows("poll, nothing new", theirs, unchanged),
    ], [
        "**poll**: `GET /v1/jobs/{id}` with JWT; beside a Flask view with one raw select by the key. And the same with "
        f"`If-None-Match`, which is answered 304. {share:.1%} were answered so. p50/p99 {times(ours)} beside "
        f"{times(theirs)}. {WALL}",
    ]


def _wall(path: str, without: Sequence[Load], with_it: Sequence[Load]) -> list[Row]:
    return rows(f"{path}: row-level security", without, with_it)


def rows(path: str, theirs: Sequence[Load], ours: Sequence[Load], *, target: float | None = None) -> list[Row]:
    """The rate of a path and what it costs, beside the baseline, round by round."""
    before, now = [load.rate for load in theirs], [load.rate for load in ours]
    middle, ratio = compared(before, now)
    aim = "" if target is None else f"≥ {target}"
    spent, spend = [load.cost for load in theirs], [load.cost for load in ours]
    _, cheaper = compared(spend, spent)
    return [
        Row(path, rates(before), rates(now), ratio, aim, None if target is None else middle >= target),
        Row(f"{path}: processor time", costs(spent), costs(spend), cheaper, "", None),
    ]


def _measure(
    house: House,
    template: str,
    requests: Sequence[bytes],
    seconds: float,
    outbox: list[tuple[int, float]] | None = None,
    *,
    bare: bool = False,
    settings: Mapping[str, str] = {},
) -> Load:
    """One round: a fresh copy of the database, an empty broker, fresh processes.

    `outbox` is told how many messages were left at the end, and for how many seconds more they were published.
    """
    house.empty_broker()
    url, port = house.new_database(template), free_port()
    with running("web", {"DATABASE_URL": url, "PORT": str(port), **settings}, house.folder, bare=bare) as web:
        watched = (web.pid, *house.servers())
        load = fire(Plan(port=port, requests=requests, seconds=seconds, warm_up=2.0, watched=watched))
        if outbox is not None:
            outbox.append(published(url))
    return load


def _middle(numbers: Iterable[float]) -> float:
    return statistics.median(list(numbers))


def times(loads: Sequence[Load]) -> str:
    """The medians of p50 and p99 over all rounds."""
    p50 = statistics.median(load.percentile(50) for load in loads)
    p99 = statistics.median(load.percentile(99) for load in loads)
    return f"{p50:.1f}/{p99:.1f} ms"
