"""AI providers: one module each, and here the choice of the one that does a job.

To add a provider, write its module and give it one line in `_MAKERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock

from config import AiMode, Settings
from worker.ai.mock import MockProvider
from worker.ai.provider import Provider, Refused

_MAKERS: dict[AiMode, Callable[[Settings], Provider]] = {
    AiMode.mock: lambda settings: MockProvider(settings.mock_latency_seconds, scripts=settings.in_development),
}

_making = Lock()


def provider_for(kind: str, settings: Settings) -> Provider:
    """The provider that does `kind` under these settings; the same one each time, for all threads to share.

    Raises `Refused` when the chosen provider does not do that kind.
    """
    with _making:  # a cache alone lets two threads that come first both make one
        provider = _provider(settings)
    if kind not in provider.kinds:
        raise Refused("kind_unavailable", f"The {provider.name} provider does not do {kind}.")
    return provider


@cache
def _provider(settings: Settings) -> Provider:
    return _MAKERS[settings.ai_mode](settings)
