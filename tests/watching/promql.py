"""As much of Prometheus's language as our rules use, on two scrapes of which the second is a window later.

It knows less than Prometheus and guesses nothing: what it does not know it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import eq, ge, gt, lt, ne

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float

TOKEN = re.compile(r'\s*(?:[a-zA-Z_:][\w:]*|\d+(?:\.\d+)?|"[^"]*"|[=!]~|[<>=!]=|[^\s\w])')
WINDOW = re.compile(r"\[(\d+)([smh])\]")
SECONDS = {"s": 1, "m": 60, "h": 3600}
COMPARED: dict[str, Callable[[float, float], bool]] = {">": gt, "<": lt, ">=": ge, "==": eq, "!=": ne}
AGGREGATED: dict[str, Callable[[list[float]], float]] = {"max": max, "min": min, "sum": sum}


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


def samples(text: str) -> list[Sample]:
    families = text_string_to_metric_families(text)
    return [Sample(each.name, each.labels, each.value) for family in families for each in family.samples]


def fires(expression: str, before: list[Sample], after: list[Sample]) -> bool:
    """Whether an alert of this expression would be on."""
    value = _Reader(expression, before, after).whole()
    assert isinstance(value, dict), "an alert is a vector"
    return bool(value)


def metrics_in(expression: str) -> set[str]:
    """The names of metrics that an expression or the query of a panel looks at."""
    return set(re.findall(r"\b(?:coinop_\w+|up)\b(?!\s*=)", re.sub(r'"[^"]*"', "", expression)))


class _Reader:
    def __init__(self, expression: str, before: list[Sample], after: list[Sample]) -> None:
        self._tokens: list[str] = []
        at = 0
        text = expression.strip()
        while at < len(text):
            if window := WINDOW.match(text, at):
                self._tokens.append(window[0])
                at = window.end()
                continue
            found = TOKEN.match(text, at)
            assert found, text[at:]
            self._tokens.append(found[0].strip())
            at = found.end()
        self._before, self._after = before, after

    def whole(self) -> Value:
        value = self._both()
        assert not self._tokens, f"not read: {self._tokens}"
        return value

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, *expected: str) -> str:
        token = self._tokens.pop(0)
        assert not expected or token in expected, (token, expected)
        return token

    def _both(self) -> Value:
        value = self._compared()
        while self._peek() == "and":
            self._take()
            other = self._compared()
            assert isinstance(value, dict)
            assert isinstance(other, dict)
            value = {labels: number for labels, number in value.items() if labels in other}
        return value

    def _compared(self) -> Value:
        value = self._product()
        if self._peek() not in COMPARED:
            return value
        holds, other = COMPARED[self._take()], self._product()
        assert isinstance(value, dict)
        against = other if isinstance(other, dict) else dict.fromkeys(value, other)
        return {
            labels: number for labels, number in value.items() if labels in against and holds(number, against[labels])
        }

    def _product(self) -> Value:
        value = self._term()
        while self._peek() == "*":
            self._take()
            other = self._term()
            assert isinstance(value, float), "a number comes first"
            assert isinstance(other, dict)
            factor = value
            value = {labels: factor * number for labels, number in other.items()}
        return value

    def _term(self) -> Value:
        token = self._take()
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return float(token)
        if token in AGGREGATED:
            kept = self._names() if self._peek() == "by" else ()
            return _aggregated(token, kept, self._inner())
        if token in ("rate", "increase"):
            self._take("(")
            name, wanted = self._take(), self._matchers()
            window = WINDOW.fullmatch(self._take())
            assert window
            self._take(")")
            seconds = int(window[1]) * SECONDS[window[2]] if token == "rate" else 1
            earlier = _selected(self._before, name, wanted)
            later = _selected(self._after, name, wanted)
            return {labels: (value - earlier.get(labels, 0.0)) / seconds for labels, value in later.items()}
        if token == "histogram_quantile":
            self._take("(")
            share = float(self._take())
            self._take(",")
            buckets = self._both()
            self._take(")")
            assert isinstance(buckets, dict)
            return _quantile(share, buckets)
        return _selected(self._after, token, self._matchers())

    def _inner(self) -> Vector:
        self._take("(")
        value = self._both()
        self._take(")")
        assert isinstance(value, dict)
        return value

    def _names(self) -> tuple[str, ...]:
        self._take("by")
        self._take("(")
        names = []
        while (token := self._take()) != ")":
            if token != ",":
                names.append(token)
        return tuple(names)

    def _matchers(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        if self._peek() != "{":
            return found
        self._take()
        while self._peek() != "}":
            found.append((self._take(), self._take("=", "=~"), self._take()[1:-1]))
            if self._peek() == ",":
                self._take()
        self._take("}")
        return found


def _selected(scrape: list[Sample], name: str, matchers: list[tuple[str, str, str]]) -> Vector:
    def fits(labels: dict[str, str]) -> bool:
        return all(
            labels.get(label, "") == wanted if sign == "=" else re.fullmatch(wanted, labels.get(label, ""))
            for label, sign, wanted in matchers
        )

    return {frozenset(each.labels.items()): each.value for each in scrape if each.name == name and fits(each.labels)}


def _aggregated(how: str, kept: tuple[str, ...], inner: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in inner.items():
        groups.setdefault(frozenset(each for each in labels if each[0] in kept), []).append(value)
    return {labels: float(AGGREGATED[how](values)) for labels, values in groups.items()}


def _quantile(share: float, buckets: Vector) -> Vector:
    """The upper bound of the bucket that it is in; Prometheus guesses where in the bucket."""
    sizes = sorted((float(dict(labels)["le"]), value) for labels, value in buckets.items())
    if not sizes or not sizes[-1][1]:
        return {}
    return {frozenset(): next(bound for bound, value in sizes if value >= share * sizes[-1][1])}
