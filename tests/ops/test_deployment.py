"""What is in deploy/ is what the product is: the same processes, queues, ports, settings, metrics and patience."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import ROOT, Settings
from models.database import LOCK_TIMEOUT_MS
from ops import up
from tests.ops.test_layout import chosen

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NGINX = (DEPLOY / "nginx" / "coinop.conf").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MANIFESTS: list[dict[str, Any]] = [
    each
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for each in yaml.safe_load_all(path.read_text())
    if path.name != "kustomization.yaml"
]
SETTINGS = {name.upper() for name in Settings.model_fields}
WORKERS = ("generation", "support", "payments", "mail")
SERVICES = {"web", "migrate", "beat", "flower", *(f"worker-{name}" for name in WORKERS)}
"""As compose and Kubernetes call them; units are called without the `worker-`."""


def manifest(kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in MANIFESTS if each["kind"] == kind and each["metadata"].get("name") == name]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each deployment, and of the job, by name."""
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]["spec"]
        for each in MANIFESTS
        if each["kind"] in ("Deployment", "Job")
    }


def unit(service: str) -> dict[str, str]:
    """The lines of a unit; of those with one name the last."""
    reader = configparser.RawConfigParser(strict=False)
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    text = (DEPLOY / "systemd" / f"coinop-{service.removeprefix('worker-')}.service").read_text()
    reader.read_string(text.replace("\\\n", " "))
    return {name: value for section in reader.sections() for name, value in reader.items(section)}


def words_of(service: str) -> dict[str, list[str]]:
    """How each of the three ways starts a service, `--name=value` as one word."""
    ways = {
        "compose": [str(word) for word in COMPOSE[service]["command"]],
        "kubernetes": pods()[service]["containers"][0]["command"],
        "systemd": unit(service)["ExecStart"].split(),
    }
    return {way: " ".join(words).replace("=", " ").split() for way, words in ways.items()}


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def environment() -> dict[str, str]:
    lines = (DEPLOY / "systemd" / "coinop.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_way_has_every_service() -> None:
    assert set(COMPOSE) - {"postgres", "broker"} == SERVICES
    assert set(pods()) == SERVICES
    assert {path.stem for path in UNITS} == {f"coinop-{name.removeprefix('worker-')}" for name in SERVICES}
    wanted = re.findall(r"coinop-[a-z]+\.service", (DEPLOY / "systemd" / "coinop.target").read_text())
    assert sorted(wanted) == sorted(path.name for path in UNITS)


@pytest.mark.parametrize("name", WORKERS)
def test_every_way_starts_a_worker_as_make_up_does(name: str, tmp_path: Path) -> None:
    ours = list(up.commands(chosen(tmp_path))[name].argv)
    for way, words in words_of(f"worker-{name}").items():
        assert option(words, "--queues") == option(ours, "--queues"), way
        assert option(words, "--pool") == option(ours, "--pool"), way
        assert option(words, "--hostname").split("@")[0] == option(ours, "--hostname").split("@")[0], way
        assert {"--task-events", "--without-gossip", "--without-mingle"} <= set(words), way
        said = option(words, "--concurrency")
        assert said == option(ours, "--concurrency") or "GENERATION_CONCURRENCY" in said, way


def test_every_way_starts_the_web_as_make_up_does(tmp_path: Path) -> None:
    ours = list(up.commands(chosen(tmp_path))["web"].argv)
    for way, words in words_of("web").items():
        for name in ("--worker-class", "--graceful-timeout", "--timeout", "--keep-alive"):
            assert option(words, name) == option(ours, name), (way, name)
        assert "--no-control-socket" in words, way
        assert "WEB_WORKERS" in option(words, "--workers"), way
        assert "WEB_THREADS" in option(words, "--threads"), way


def test_what_is_stopped_gets_the_time_it_needs(tmp_path: Path) -> None:
    """At least what `make up` gives; and the same on every way."""
    services = up.commands(chosen(tmp_path))
    before = pods()["web"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    for name in sorted(SERVICES - {"migrate"}):
        compose = int(COMPOSE[name]["stop_grace_period"].removesuffix("s"))
        kubernetes = pods()[name]["terminationGracePeriodSeconds"] - (before if name == "web" else 0)
        systemd = int(unit(name)["TimeoutStopSec"])
        least = services[name.removeprefix("worker-")].stop[0].grace
        assert min(compose, kubernetes, systemd) >= least, name
    longest = Settings.model_fields["run_limit_seconds"].default
    assert (
        min(pods()["worker-generation"]["terminationGracePeriodSeconds"], int(unit("generation")["TimeoutStopSec"]))
        > longest
    )


def test_beat_is_one() -> None:
    spec = manifest("Deployment", "beat")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_only_settings_that_there_are_are_set() -> None:
    told = {*manifest("ConfigMap", "coinop")["data"], *manifest("Secret", "coinop")["stringData"]}
    assert told <= SETTINGS
    assert set(environment()) <= SETTINGS
    needed = {"SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URL", "BROKER_URL", "SMTP_URL", "PUBLIC_URL", "PAYMENTS_MODE"}
    assert needed <= told
    assert needed <= set(environment())


def test_what_commands_name_is_set() -> None:
    named = {word for path in UNITS for word in re.findall(r"\$\{([A-Z_]+)\}|\$\$([A-Z_]+)", path.read_text())}
    assert {first or second for first, second in named} <= set(environment()) | {"MAINPID"}
    data = manifest("ConfigMap", "coinop")["data"]
    for name, pod in pods().items():
        asked = re.findall(r"\$\(([A-Z_]+)\)", " ".join(pod["containers"][0]["command"]))
        assert set(asked) <= set(data), name


def test_what_is_probed_is_there(app: Any) -> None:
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    web = pods()["web"]["containers"][0]
    probed = {web[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probed == {"/healthz", "/readyz"}
    assert probed <= rules
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz", "which asks no database"
    ports = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "Service"}
    assert ports == {"web"}, "Flower is for the inside"


def test_scaling_goes_by_metrics_that_there_are() -> None:
    known = (ROOT / "docs" / "visibility.md").read_text()  # the tests hold it to what is told
    triggers = manifest("ScaledObject", "worker-generation")["spec"]["triggers"]
    named = {name for each in triggers for name in re.findall(r"coinop_\w+", each["metadata"]["query"])}
    assert len(named) == 3
    assert [name for name in named if f"`{name}`" not in known] == []
    for each in MANIFESTS:
        if each["kind"] in ("ScaledObject", "HorizontalPodAutoscaler"):
            target = each["spec"]["scaleTargetRef"]["name"]
            assert "replicas" not in manifest("Deployment", target)["spec"], "or each apply would undo it"


def test_pods_may_do_nothing_they_need_not() -> None:
    for name, pod in pods().items():
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert "memory" in container["resources"]["limits"], name


def test_the_proxy_lets_through_what_the_product_takes_and_waits_as_long() -> None:
    def bytes_of(size: str) -> int:
        return int(size[:-1]) * {"k": 2**10, "m": 2**20}[size[-1]]

    def default(name: str) -> int:
        return int(Settings.model_fields[name].default)

    body, upload = map(bytes_of, re.findall(r"client_max_body_size (\w+);", NGINX))
    assert body > default("max_body_bytes")
    assert upload > default("max_upload_bytes")
    waits = [int(seconds) for seconds in re.findall(r"proxy_read_timeout (\d+)s;", NGINX)]
    assert len(waits) == NGINX.count("proxy_pass ")
    assert min(waits) > default("wait_seconds_max")
    assert NGINX.count("X-Forwarded-For $remote_addr;") == NGINX.count("proxy_pass "), "and nothing of the caller's"
    assert environment()["TRUSTED_PROXIES"] == "1"


def test_the_pooler_sets_what_the_product_would() -> None:
    ini = (DEPLOY / "pgbouncer" / "pgbouncer.ini").read_text()
    assert f"SET lock_timeout = {LOCK_TIMEOUT_MS}" in ini
    assert "\npool_mode = transaction\n" in ini


@pytest.mark.skipif(not shutil.which("nginx"), reason="this machine has no nginx")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    # There is no certificate here.
    site = (
        re.sub(r"(?m)^ *ssl_certificate.*$", "", NGINX)
        .replace(" ssl http2;", ";")
        .replace("/var/log/nginx", str(tmp_path))
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\n{site}\n}}\n"
    )
    done = subprocess.run(
        ["nginx", "-t", "-q", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in [*UNITS, DEPLOY / "systemd" / "coinop.target"]:
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/coinop", str(ROOT)))
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "coinop" in line]
    assert (done.returncode, ours) == (0, [])
