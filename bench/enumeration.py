"""Enumeration: whether the time of an answer tells that an address is known, with passwords hashed as they are."""

from __future__ import annotations

import http.client
import json
import math
import random
import statistics
import time
from collections.abc import Sequence
from uuid import uuid4

from bench import stock
from bench.house import House, running, using
from bench.report import Row
from models import users
from models.database import sessions
from ops.embedded import free_port

SAMPLES = 200
WARM_UP = 20
PASSWORD = "a password of the benchmark"
LEAST_P = 0.01
"""Below it two samples are told apart. Of a hundred pairs that are the same, one looks like that."""

CALLS: dict[str, tuple[str, dict[str, str], int]] = {
    "sign-up": ("/v1/auth/signup", {"password": PASSWORD}, 201),
    "log-in": ("/v1/auth/login", {"password": "not the password"}, 401),
    "forgotten password": ("/v1/auth/forgot-password", {}, 202),
}
"""What is asked for an address, and the status that both kinds of addresses are answered with."""

NO_LIMIT = dict.fromkeys(("AUTH_RATE_LIMIT", "LOGIN_RATE_LIMIT", "MAIL_RATE_LIMIT"), "1000000 per minute")


def enumeration(house: House) -> tuple[list[Row], list[str]]:
    """Sign-up, log-in and a forgotten password for addresses that are known and for those that are not, in turns."""
    url, port = stock.migrated(house), free_port()
    known = _verified(url)
    rows, chances = [], []
    with running("web", {"DATABASE_URL": url, "PORT": str(port), **NO_LIMIT}, house.folder):
        for name, (path, body, status) in CALLS.items():
            unknown_ms, known_ms = _measure(port, path, body, status, known)
            p = mann_whitney(unknown_ms, known_ms)
            ratio = statistics.median(known_ms) / statistics.median(unknown_ms)
            times = (_times(unknown_ms), _times(known_ms))
            rows.append(Row(f"{name}: known or not", *times, f"{ratio:.3f}", f"p ≥ {LEAST_P}", p >= LEAST_P))
            chances.append(f"{name} p = {p:.2f}")
    return rows, [
        f"**known or not**: {SAMPLES} requests for unknown addresses (baseline) and {SAMPLES} for known, verified ones "
        "(ours), one at a time and in turns, with the argon2id parameters of the product and the limits lifted; "
        "medians/p95, and the ratio of the medians. A rank test (Mann-Whitney, two-sided) says how often samples that "
        f"differ as much come from one and the same distribution: {', '.join(chances)}. Below {LEAST_P} they are told "
        "apart; by chance that happens to one line in a hundred.",
    ]


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided p-value of the rank test, by the normal approximation with ties and continuity corrected."""
    both = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    rank_sum, tied, begin = 0.0, 0, 0
    while begin < len(both):
        end = begin
        while end < len(both) and both[end][0] == both[begin][0]:
            end += 1
        equal = end - begin
        rank_sum += (begin + end + 1) / 2 * sum(1 - whose for _, whose in both[begin:end])
        tied += equal**3 - equal
        begin = end
    n, m = len(one), len(other)
    u = rank_sum - n * (n + 1) / 2
    spread = math.sqrt(n * m / 12 * (n + m + 1 - tied / ((n + m) * (n + m - 1))))
    away = max(abs(u - n * m / 2) - 0.5, 0.0)
    return min(2 * (1 - statistics.NormalDist().cdf(away / spread)), 1.0) if spread else 1.0


def _verified(url: str) -> list[str]:
    """Addresses of users who have verified them."""
    addresses = [f"{uuid4().hex}@example.com" for _ in range(SAMPLES + WARM_UP)]
    password_hash = users.hash_password(PASSWORD)
    with using(url), sessions() as session:
        for email in addresses:
            users.verify(session, users.register(session, email=email, password_hash=password_hash).id)
    return addresses


def _measure(
    port: int, path: str, body: dict[str, str], status: int, known: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Milliseconds for unknown addresses, and for the known ones; which comes first is left to chance."""
    dice = random.Random(path)
    times: tuple[list[float], list[float]] = ([], [])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for address in known:
        pair = [(0, f"{uuid4().hex}@example.com"), (1, address)]
        dice.shuffle(pair)
        for which, email in pair:
            content = json.dumps({"email": email, **body})
            begin = time.perf_counter()
            connection.request("POST", path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            times[which].append((time.perf_counter() - begin) * 1000)
            if answer.status != status:
                raise RuntimeError(f"{path} answered {answer.status} and not {status}")
    connection.close()
    return times[0][WARM_UP:], times[1][WARM_UP:]


def _times(milliseconds: Sequence[float]) -> str:
    p95 = statistics.quantiles(milliseconds, n=20)[-1]
    return f"{statistics.median(milliseconds):.2f}/{p95:.2f} ms"
