"""What goes wrong at OpenAI, in our words.

Their messages may quote what was sent, prompts and parts of keys among it, so none of them gets out; of what they say
only codes are believed, and only what looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

import httpx2
import openai
import structlog

from worker.ai.provider import ProviderError, Refused, Unavailable

log = structlog.get_logger(__name__)

FILTERED = frozenset((
    "content_filter", "content_policy_violation", "image_content_policy_violation", "moderation_blocked",
    "invalid_prompt", "bio_policy", "misalignment_policy_violation",
))  # fmt: skip
"""Codes that mean: not with these words, or not with this picture."""

NO_ACCOUNT = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"))
"""Codes that mean: not on this account, until somebody pays."""

BUSY = frozenset(("rate_limit_exceeded",))
PASSING = frozenset(("server_error", "vector_store_timeout"))

MOST_RETRY_AFTER = 3600.0
"""Seconds; whoever asks for more is asked again after so many."""

Usage = Mapping[str, int]

CODE = re.compile(r"[a-z][a-z0-9_]{0,60}")
FIELD = re.compile(r"[a-z][a-z0-9_.\[\]]{0,60}")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the client raises into `ProviderError`s, with a line in the log that has codes and ids alone."""
    try:
        yield
    except openai.APIStatusError as error:
        ours = of_status(error.status_code, _code(error), error.param, error.response.headers)
        raise told(ours, status=error.status_code, said=_code(error), request_id=error.request_id) from None
    except openai.APIConnectionError as error:
        raise told(_unreachable(), said=type(error.__cause__).__name__) from None
    except openai.APIError as error:  # within a stream, whose status said that all was well
        raise told(of_code(_code(error)), said=_code(error)) from None
    except httpx2.HTTPError as error:  # while the body of an error came
        raise told(_unreachable(), said=type(error).__name__) from None
    except ValueError as error:  # no JSON, or nothing like an answer
        unreadable = Unavailable("provider_error", "The provider's answer cannot be read.")
        raise told(unreadable, said=type(error).__name__) from None


def told(ours: ProviderError, **about: object) -> ProviderError:
    """The error, once the log has a line about it. A key that is refused is for somebody to look at now."""
    tell = log.error if ours.code == "provider_rejected_key" else log.warning
    tell("provider_said_no", provider="openai", code=ours.code, **about)
    return ours


def of_status(status: int, code: str | None, param: object, headers: Mapping[str, str]) -> ProviderError:
    """What an answer of this status means; `code` and `param` are what its body says."""
    wait = retry_after(headers)
    if code in FILTERED:
        return filtered()
    if code in NO_ACCOUNT or status in (401, 403):
        return rejected_key()
    if status == 429:
        return Unavailable("provider_rate_limited", "The provider has too many requests.", retry_after=wait)
    if status == 408:
        return Unavailable("provider_timeout", "The provider did not answer in time.", retry_after=wait)
    if status >= 500 or status in (409, 425):
        return Unavailable("provider_error", "The provider has troubles of its own.", retry_after=wait)
    where = f" ({param})" if isinstance(param, str) and FIELD.fullmatch(param) else ""
    return Refused("provider_refused", f"The provider does not accept the request{where}.")


def of_code(code: str | None) -> ProviderError:
    """What it means when the work had begun and then failed with this code."""
    if code in FILTERED:
        return filtered()
    if code in NO_ACCOUNT:
        return rejected_key()
    if code in BUSY:
        return Unavailable("provider_rate_limited", "The provider has too many requests.")
    if code is None or code in PASSING:
        return Unavailable("provider_error", "The provider has troubles of its own.")
    return Refused("provider_refused", "The provider does not accept the request.")


def filtered(usage: Usage | None = None) -> ProviderError:
    return Refused("content_filtered", "The provider's content filter refused this request.", usage=usage)


def rejected_key() -> ProviderError:
    return Refused("provider_rejected_key", "The provider does not work for us at the moment.")


def bad_answer(why: str, usage: Usage | None = None) -> ProviderError:
    return Refused("bad_answer", f"The provider's answer will not do: {why}.", usage=usage)


def cut_off() -> ProviderError:
    return Unavailable("provider_error", "The provider's answer was cut off.")


def _unreachable() -> ProviderError:
    return Unavailable("provider_unreachable", "The provider cannot be reached.")


def _code(error: openai.APIError) -> str | None:
    """What it says went wrong: the code, or the type when there is none; nothing that does not look like one."""
    return next((each for each in (error.code, error.type) if isinstance(each, str) and CODE.fullmatch(each)), None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, in any of the three ways there are; None if it does not."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if isfinite(seconds):
            return min(max(seconds, 0.0), MOST_RETRY_AFTER)
    try:
        then = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return min(max((then - datetime.now(UTC)).total_seconds(), 0.0), MOST_RETRY_AFTER)


def known_as(*names: object) -> str | None:
    """The first of the provider's names for a piece of work that can be one."""
    return next((name for name in names if isinstance(name, str) and REQUEST_ID.fullmatch(name)), None)
