"""Addresses that a front door can see through are refused there, by name, before anything is held."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from models.public_urls import is_public
from tests.http.conftest import Caller, everything_stored
from tests.uploads.inside import NOT_PUBLIC, SPELLINGS

__all__ = ["everything_stored"]

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "192.167.255.255", "100.63.255.255", "100.128.0.1",
    "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "64:ff9b::808:808", "::ffff:8.8.8.8",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_told(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "2606:4700::1111%eth0"])
def test_all_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("field", ["image_url", "audio_url"])
def test_what_leads_inside_is_refused_by_name(
    caller: Caller, everything_stored: Callable[[], dict[str, int]], field: str
) -> None:
    before = everything_stored()
    inside = [f"https://{f'[{each}]' if ':' in each else each}/" for each in NOT_PUBLIC]
    for url in [*SPELLINGS, *inside]:
        given = {"image_url": "https://example.com/a.png", "audio_url": "https://example.com/a.wav", field: url}
        answer = caller.post("/v1/jobs", {"action": "lipsync", "input": given})
        problem: dict[str, Any] = answer.json or {}
        assert (answer.status_code, problem["code"]) == (422, "invalid_input"), url
        assert [error["field"] for error in problem["errors"]] == [f"input.{field}"], url
        assert url not in str(problem) or len(url) < 9, "what was refused is not echoed"
    assert everything_stored() == before


def test_what_may_be_public_is_accepted(caller: Caller) -> None:
    hosts = [f"[{address}]" if ":" in address else address for address in PUBLIC]
    for host in [*hosts, "example.com", "example.com:443", "a.b.example", "xn--bcher-kva.example"]:
        answer = caller.post("/v1/jobs/estimate", {"action": "upscale", "input": {"image_url": f"https://{host}/?y=1"}})
        assert answer.status_code == 200, answer.json
