"""Settings of those who watch the system: who may see its figures, and where those, traces and errors go."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from config.basis import ROOT, Basis, Secret, has_good_port, told

HEADER = re.compile(r"\s*([A-Za-z0-9!#$&'*+.^_`|~-]+)\s*=\s*(\S(?:.*\S)?)\s*")
"""One of OTEL_EXPORTER_OTLP_HEADERS; the value may have what URLs write with a %."""

PLAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}"


class VisibilitySettings(Basis):
    """`metrics_token` opens /metrics. `worker_metrics_port` is where a worker tells its own; 0 is nowhere.

    Traces are sent where `otel_exporter_otlp_endpoint` says, and errors to the project that `sentry_dsn` names; without
    them nothing is, and what would send it is not even loaded.
    """

    metrics_token: Secret | None = None
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0

    otel_exporter_otlp_endpoint: str = ""
    otel_exporter_otlp_headers: SecretStr | None = None
    otel_service_name: Annotated[str, Field(pattern=f"^{PLAIN_NAME}$")] = "coinop"
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 1.0

    sentry_dsn: SecretStr | None = None
    sentry_environment: Annotated[str, Field(pattern=f"^({PLAIN_NAME})?$")] = ""
    sentry_release: Annotated[str, Field(pattern=f"^({PLAIN_NAME})?$")] = ""

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _a_collector(cls, value: str) -> str:
        if not value:
            return value
        value = value.rstrip("/")
        if not _is_address(value) or value.endswith("/v1/traces"):
            raise ValueError(
                "expected the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318, "
                "without /v1/traces"
            )
        _installed("opentelemetry-exporter-otlp-proto-http")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _readable_headers(cls, value: SecretStr | None) -> SecretStr | None:
        if any(each is None for each in map(HEADER.fullmatch, _parts(value))):
            raise ValueError("expected headers such as Authorization=Bearer%20abc, separated by commas")
        if not all(header.strip() and header.isascii() and header.isprintable() for header in _headers(value).values()):
            raise ValueError("expected headers whose values are plain ASCII, and not blank")
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _a_project(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        url = told(value)
        project = url.rpartition("/")[2]
        if not (_is_address(url, user=True) and project.isascii() and project.isdigit()):
            raise ValueError("expected what Sentry calls the DSN of a project: https://key@host/number")
        _installed("sentry-sdk")
        return SecretStr(url)

    @property
    def otlp_headers(self) -> dict[str, str]:
        """The headers by their names, values as they are to be sent."""
        return _headers(self.otel_exporter_otlp_headers)

    @property
    def receivers_keys(self) -> list[str]:
        """What opens the collector and the project of Sentry, as others would quote it: without what stands around."""
        keys = [value.split()[-1] for value in self.otlp_headers.values()]
        return [*keys, urlsplit(told(self.sentry_dsn)).username or ""]

    @property
    def release(self) -> str:
        """What runs here, as Sentry is told it."""
        return self.sentry_release or f"coinop@{_version()}"


def _is_address(value: str, *, user: bool = False) -> bool:
    try:
        url = urlsplit(value)
    except ValueError:
        return False
    plain = value.isascii() and value.isprintable() and " " not in value
    right = url.scheme in ("http", "https") and bool(url.hostname) and has_good_port(url)
    return plain and right and bool(url.username) is user and not (url.query or url.fragment or url.password)


def _installed(package: str) -> None:
    try:
        distribution(package)
    except PackageNotFoundError:
        raise ValueError(
            f"needs {package}, which is not installed: pip install -r requirements-telemetry.txt -c constraints.txt, "
            "or build the image with TELEMETRY=1"
        ) from None


def _parts(value: SecretStr | None) -> list[str]:
    return [part for part in told(value).split(",") if part.strip()]


def _headers(value: SecretStr | None) -> dict[str, str]:
    found = [HEADER.fullmatch(part) for part in _parts(value)]
    return {each[1]: unquote(each[2]) for each in found if each}


def _version() -> str:
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]
