"""Settings of those who watch the system: who may see its figures, and where they are told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.basis import Basis, Secret


class VisibilitySettings(Basis):
    """`metrics_token` opens /metrics. `worker_metrics_port` is where a worker tells its own; 0 is nowhere."""

    metrics_token: Secret | None = None
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
