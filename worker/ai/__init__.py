"""AI providers, one module each. Which there are is in `worker/backends.py`; here the one that does a job is made."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from threading import Lock
from typing import cast

from config import Settings
from worker.ai.provider import Provider
from worker.backends import BACKENDS

_making = Lock()


def provider(name: str, settings: Settings) -> Provider:
    """The provider of this name under these settings; the same one each time, for all threads to share."""
    with _making:  # a cache alone lets two threads that come first both make one
        return _provider(name, settings)


@cache
def _provider(name: str, settings: Settings) -> Provider:
    module, _, maker = BACKENDS[name].where.partition(":")
    return cast(Provider, getattr(import_module(module), maker).of(settings))
