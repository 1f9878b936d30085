"""What `make up` needs for itself: its ports, its state folder, its secrets."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from config import SECRETS_FILE
from ops.claims import Taken, claim_folder, claim_ports
from ops.secrets_file import BYTES, ensure_secrets


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as freed:
        port, free = taken.getsockname()[1], freed.getsockname()[1]
        freed.close()
        with pytest.raises(Taken) as refused:
            claim_ports({"PORT": ("127.0.0.1", port), "FLOWER_PORT": ("127.0.0.1", free)})
    assert str(refused.value) == f"Port {port} is taken: stop what uses it or set PORT."


def test_a_port_that_is_taken_on_every_address_is_taken_on_one() -> None:
    with socket.create_server(("", 0)) as taken, pytest.raises(Taken, match="BROKER_PORT"):
        claim_ports({"BROKER_PORT": ("127.0.0.1", taken.getsockname()[1])})


def test_one_port_for_two_things_is_refused() -> None:
    with pytest.raises(Taken, match="give PORT and FLOWER_PORT different values"):
        claim_ports({"PORT": ("127.0.0.1", 1025), "FLOWER_PORT": ("127.0.0.1", 1025)})


def test_an_address_this_machine_does_not_have_is_told() -> None:
    with pytest.raises(Taken, match="check HOST and PORT"):
        claim_ports({"PORT": ("192.0.2.1", 8000)})


def test_a_state_folder_is_held_by_one_and_free_again_after(tmp_path: Path) -> None:
    with (
        claim_folder(tmp_path),
        pytest.raises(Taken, match="already running with the state folder"),
        claim_folder(tmp_path),
    ):
        pass
    with claim_folder(tmp_path):
        pass


def test_secrets_are_generated_once_for_their_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert ensure_secrets(home, {}) == list(BYTES)
    path = home / SECRETS_FILE
    first = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert all(len(value or "") >= BYTES[name] for name, value in dotenv_values(path).items())
    assert ensure_secrets(home, {}) == []
    assert path.read_bytes() == first


def test_given_secrets_are_not_generated_and_missing_ones_are_added(tmp_path: Path) -> None:
    assert "SECRET_KEY" not in ensure_secrets(tmp_path, {"secret_key": "given", "JWT_SECRET_KEY": ""})
    before = dotenv_values(tmp_path / SECRETS_FILE)
    assert set(before) == set(BYTES) - {"SECRET_KEY"}
    assert ensure_secrets(tmp_path, {}) == ["SECRET_KEY"]
    after = dotenv_values(tmp_path / SECRETS_FILE)
    assert {name: after[name] for name in before} == before
