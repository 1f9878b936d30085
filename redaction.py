"""Redaction: what must not be read in a log is hidden in every line of it, ours and the libraries'.

First by name, in what our lines give as `key=value`; then by shape, in all texts, the messages of exceptions among
them; and whatever a secret of this installation looks like, it is hidden for being that secret. It is a net under those
who write log lines, not a licence: they say ids, states, durations, codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "[hidden]"

NAMES = frozenset((
    "password", "passwd", "passphrase", "secret", "token", "jwt", "authorization", "cookie", "credential",
    "credentials", "key", "apikey", "signature", "dsn", "prompt", "input", "inputs", "body", "email", "mail",
    "recipient", "recipients", "sender", "address", "addresses",
))  # fmt: skip
"""A key with one of these words in it hides its value, unless that is a number, true, false or null."""

SHORTEST_SECRET = 6
"""Characters; what is shorter would be hidden in the middle of words that have nothing to do with it."""

DEEPEST = 6
"""Levels of nesting that are looked at; what is deeper is hidden whole."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SPOKEN = (
    "pass(?:word|wd|phrase)|secret|token|api[_-]?key|(?:secret|access|idempotency)[_-]key|authorization|cookie|"
    "prompt|recipient|e-?mail"
)

_Shape = tuple[tuple[str, ...], re.Pattern[str], str]

LINES = re.DOTALL | re.MULTILINE


def _shape(needles: str, pattern: str, instead: str = HIDDEN, flags: re.RegexFlag = re.NOFLAG) -> _Shape:
    return tuple(needles.split()), re.compile(pattern, flags), instead


SHAPES: tuple[_Shape, ...] = (
    # What stands between the scheme and the last @ of a URL, when it has a password.
    _shape("://", r"(?<=://)[^\s@/?#:]{0,200}:\S{0,400}@", f"{HIDDEN}@"),
    _shape("@", r"(?<![\w.+'%-])[\w.+'%-]++@(?:[\w-]++\.)+[\w-]+"),
    _shape("eyj", r"\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)*"),
    _shape("coinop_", r"\bcoinop_[\w-]{30,}"),
    _shape("sk- sk_ rk_ pk_ whsec_", r"\b(?:sk-|[srp]k_|whsec_)[\w-]{8,}"),
    _shape("bearer basic", r"\b(bearer|basic)\s+(?!realm)[\w.~+/=-]{6,}", rf"\1 {HIDDEN}", re.IGNORECASE),
    # As people and libraries write values: password='…', "prompt": "…", ?token=…, prompt: …
    _shape(
        "pass secret token key authorization cookie prompt recipient mail",
        rf"((?:{_SPOKEN})[\"']?\s*[=:]\s*)"
        r"(?:b?\"(?:[^\"\\]|\\.)*+\"|b?'(?:[^'\\]|\\.)*+'|(?!\[hidden)[^\s,;&\"'})\]]++)",
        rf"\1{HIDDEN}", re.IGNORECASE,
    ),
    _shape("prompt", r"(prompt\s*[=:]\s*\[hidden\])(?![,;&\"'})\]]).*", r"\1", re.IGNORECASE),
    # pydantic, SQLAlchemy and PostgreSQL show values with what is wrong with them.
    _shape("input_value=", r"input_value=.*?(?=, input_type=|$)", f"input_value={HIDDEN}", LINES),
    _shape("[parameters:", r"\[parameters: .*\]", f"[parameters: {HIDDEN}]"),
    _shape("failing row", r"(Failing row contains) \(.*?(?:\)\.$|\Z)", rf"\1 ({HIDDEN}).", LINES),
    _shape(")=(", r"(Key \([^)\n]{0,200}\))=\(.*?\)(?= |$)", rf"\1=({HIDDEN})", LINES),
)  # fmt: skip
"""What to look for in lower case before the costlier search, what is hidden, and what stands instead."""

_LONG = re.compile(r"(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{40,}+")
"""Tokens of no other shape: 40 characters at random, such as those of links in e-mails. Our ids have 36."""


_PLAIN = re.compile(r"[0-9a-f-]{1,36}|[0-9:.TZ-]{1,39}|[a-z_.]{1,39}")
"""Ids, times and words, which most lines consist of, look like none of these."""

LONGEST = 20_000
"""Characters of a text that are shown: what is longer is no log line, and would take long to look through."""


class Redactor:
    """A structlog processor; `secrets` are the values of this installation that are hidden wherever they occur."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({each for each in secrets if len(each) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(each) for each in known)) if known else None

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in line.items():
            line[name] = self._value(name, value, 0)
        return line

    def text(self, text: str) -> str:
        """The text with all hidden that must not be read."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        if _PLAIN.fullmatch(text):
            return text
        if len(text) > LONGEST:
            text = _shortened(text)
        lower = text.lower()
        for needles, pattern, instead in SHAPES:
            if any(needle in lower for needle in needles):
                text = pattern.sub(instead, text)
        return _LONG.sub(HIDDEN, text) if len(text) >= 40 else text

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, int | float):
            return value
        if _tells_a_secret(name):
            return HIDDEN
        if isinstance(value, str):
            return self.text(value)
        if depth == DEEPEST:
            return HIDDEN
        if isinstance(value, dict):
            return {each: self._value(str(each), inner, depth + 1) for each, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", inner, depth + 1) for inner in value]
        shown = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return self.text(shown)


def _shortened(text: str) -> str:
    """Its beginning and its end, cut between words, as half a secret would not be known for one."""
    first, last = text[: LONGEST // 2].rsplit(None, 1), text[-LONGEST // 2 :].split(None, 1)
    return f"{first[0] if len(first) > 1 else ''} … {last[1] if len(last) > 1 else ''}"


@lru_cache(maxsize=1_000)
def _tells_a_secret(name: str) -> bool:
    """Whether the name of a value says that it is not for everybody."""
    return not NAMES.isdisjoint(word.lower() for word in _WORD.findall(name))


def passwords(url: str) -> list[str]:
    """The password in a URL, as it is written and as it is meant; nothing if there is none."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return []
    return [password, unquote(password)] if password else []
