"""What /metrics says, as Prometheus would read it."""

from __future__ import annotations

from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

Scrape = dict[tuple[str, tuple[str, ...]], float]
"""By name, and the values of the labels in the order of the text."""


def scraped(client: FlaskClient) -> Scrape:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return read(answer.text)


def read(text: str) -> Scrape:
    found: Scrape = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sample.labels.values())] = sample.value
    return found
