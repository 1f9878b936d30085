"""/metrics: how things stand and what was counted, for Prometheus (docs/visibility.md).

What stands in the database is read when it is asked for; the rest lies in files that the processes of this machine
write. Whoever sends the `METRICS_TOKEN` as a bearer may read it; without such a setting, in development, whoever is on
this machine.
"""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

import counters
from config import settings
from models import gauges
from models.database import readings
from models.errors import NotFound, Unauthorized
from web.acting import for_everyone

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")
"""Who sends one of these stands behind a proxy, which may be on this machine while the caller is not."""

UNKNOWN = "none"
"""The route of a request that has none: what people try has no end."""


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_count)
    app.add_url_rule("/metrics", "metrics", metrics)


def metrics() -> Response:
    _admit()
    for_everyone()
    registry = CollectorRegistry()
    registry.register(_HowItStands())
    registry.register(counters.counted(everybody=True))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _admit() -> None:
    """Raises `Unauthorized` without the right token; `NotFound` where there is none to have, but for this machine."""
    if (token := settings().metrics_token) is not None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode(), token.get_secret_value().encode())
        if scheme != "Bearer" or not right:
            raise Unauthorized("These are for whoever has the METRICS_TOKEN.")
    elif not (settings().in_development and _is_on_this_machine()):
        raise NotFound("Metrics are not shown here without a METRICS_TOKEN.")


def _is_on_this_machine() -> bool:
    return request.remote_addr in ("127.0.0.1", "::1") and not any(name in request.headers for name in FORWARDED)


class _HowItStands(Collector):
    """With a database that is away there is only that to tell."""

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("coinop_database_up", "Whether the database answers.")
        families = {
            name: GaugeMetricFamily(f"coinop_{name}", text, labels=gauges.LABELS[name])
            for name, text in gauges.HELP.items()
        }
        try:
            with readings() as session:
                for reading in gauges.read(session):
                    families[reading.name].add_metric(reading.labels, reading.value)
        except SQLAlchemyError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield _disk()
        yield from families.values()


def _disk() -> Metric:
    free = GaugeMetricFamily(
        "coinop_disk_free_ratio", "How much of the disk that a folder is on is free, from 0 to 1.", labels=("folder",)
    )
    folders = {"state": settings().coinop_home}
    if (files := urlsplit(settings().storage_url)).scheme == "file":
        folders["outputs"] = Path(unquote(files.path))
    for name, folder in folders.items():
        with suppress(OSError):
            disk = shutil.disk_usage(folder)
            free.add_metric((name,), disk.free / disk.total)
    return free


def _begin() -> None:
    g.began = perf_counter()


def _count(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else UNKNOWN
    method = request.method if request.url_rule else UNKNOWN
    began = g.get("began")
    waited = began is None or "Preference-Applied" in response.headers
    counters.answered(method, route, response.status_code, None if waited else perf_counter() - began)
    return response
