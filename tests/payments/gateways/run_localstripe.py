"""Runs localstripe on a port of loopback: by itself it listens to everybody, and keeps a pickle in /tmp.

Two things that it does not know are taken out of what it is asked, or it would refuse the whole call: the description
of a payment, and what to show in full that its objects do not have.
"""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web
from localstripe import resources  # type: ignore[import-untyped]
from localstripe.server import app  # type: ignore[import-untyped]

resources.Store.dump_to_disk = lambda self: None

_export = resources.StripeObject._export
_begin = resources.PaymentIntent.__init__


def _export_what_there_is(self: Any, expand: Any = None) -> Any:
    return _export(self, [path for path in expand or [] if hasattr(self, path.split(".")[0])])


def _begin_without_description(self: Any, description: str | None = None, **asked: Any) -> None:
    _begin(self, **asked)


resources.StripeObject._export = _export_what_there_is
resources.PaymentIntent.__init__ = _begin_without_description

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
