"""A prediction service of our own, to test against: it speaks as much of the protocol as our backend listens to.

It is written from the public description of the protocol, not from any service's code, and knows nothing of models:
whatever it is asked for, it makes a small clip or picture. A `Plan` says how predictions go whose input has certain
words; without one, they succeed at once. Everything it is asked is noted.

By hand: `python -m tests.ai.predictions.double 8100`, then `PREDICTIONS_URL=http://127.0.0.1:8100/v1`, key `r8_test`.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from worker.ai.artefacts import mp4_clip, png_picture

KEY = "r8_test"

SEED = bytes(range(32))
CLIP, PICTURE = mp4_clip(SEED, 1), png_picture(SEED, 16, 16)


@dataclass
class Plan:
    """How predictions go.

    `creates`, `polls` and `downloads` are what successive requests get: a number is an HTTP status, a word the status
    of the prediction, which is `begins` before anybody asks; the last one stays. `fault` is the body of errors,
    `headers` go with every answer. `output` is any JSON, in which `{url}` becomes an address of ours and `{data}` a
    data URL. A request named in `holds` (create, poll, download) is noted, and answered once `released` is set.
    """

    creates: list[int] = field(default_factory=lambda: [201])
    begins: str = "starting"
    polls: list[int | str] = field(default_factory=lambda: ["succeeded"])
    downloads: list[int] = field(default_factory=lambda: [200])
    output: Any = "{url}"
    error: str | None = None
    predict_time: float | None = 1.5
    data_removed: bool = False
    fault: str = '{"detail": "no"}'
    headers: dict[str, str] = field(default_factory=dict)
    turned_away: bool = False
    """Creates get the `fault`, whatever their status."""
    made: bytes | None = None
    holds: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)


@dataclass
class Made:
    """A prediction."""

    id: str
    plan: Plan
    model: str
    asked: int = 0
    downloaded: int = 0
    canceled: bool = False


@dataclass
class Double:
    """The service; `honours_keys` says whether two creates with one idempotency key are one prediction."""

    port: int = 0
    honours_keys: bool = True
    takes_files: bool = True
    names: str | None = None
    """The id of every prediction, instead of p1, p2 and so on."""
    refuses: int = 0
    """The HTTP status of every answer from now on."""
    plans: dict[str, Plan] = field(default_factory=dict)
    creates: list[dict[str, Any]] = field(default_factory=list)
    """Each request to create, with its `id` if it began a prediction or came upon one."""
    cancels: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    strangers: int = 0
    """Requests without the key."""
    predictions: dict[str, Made] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def plan(self, words: str, **about: Any) -> Plan:
        """How predictions go from now on whose input has these words; "" is all others."""
        made = self.plans[words] = Plan(**about)
        return made

    def begun(self, words: str) -> list[Made]:
        """The predictions, begun with these words in their input, in order."""
        ids = [each["id"] for each in self.created(words) if each["id"]]
        return [self.predictions[each] for each in dict.fromkeys(ids)]

    def created(self, words: str) -> list[dict[str, Any]]:
        with self.lock:
            return [each for each in self.creates if words in json.dumps(each["input"])]

    @contextmanager
    def running(self) -> Iterator[Double]:
        server = self.listen()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            for plan in self.plans.values():
                plan.released.set()
            server.shutdown()
            server.server_close()
            thread.join(10)

    def listen(self) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Desk", (_Desk,), {"double": self}))
        server.daemon_threads = True
        self.port = server.server_address[1]
        return server


class _Desk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: Double

    def handle(self) -> None:
        with suppress(ConnectionError):  # who asked may have gone in the middle of it
            super().handle()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        match self._parts():
            case ["v1", "predictions", prediction_id]:
                self._poll(prediction_id)
            case ["v1", "outputs", prediction_id, _]:
                self._download(prediction_id)
            case _:
                self._say(404, {"detail": "no such place"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self._parts():
            case ["v1", "predictions"]:
                said = json.loads(body)
                self._create(said["version"], said["input"])
            case ["v1", "models", owner, name, "predictions"]:
                self._create(f"{owner}/{name}", json.loads(body)["input"])
            case ["v1", "predictions", prediction_id, "cancel"]:
                self._cancel(prediction_id)
            case ["v1", "files"] if self.double.takes_files:
                self.double.files.append(body)
                self._say(201, {"id": "file", "urls": {"get": f"{self.double.url}/files/{len(self.double.files)}"}})
            case _:
                self._say(404, {"detail": "no such place"})

    def _parts(self) -> list[str]:
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.double.strangers += 1
            return ["stranger"]
        return self.path.strip("/").split("/")

    def _create(self, model: str, values: dict[str, Any]) -> None:
        double, key, made = self.double, self.headers.get("Idempotency-Key"), None
        text = json.dumps(values)
        with double.lock:
            plan = next((plan for words, plan in double.plans.items() if words and words in text), None)
            plan = plan or double.plans.get("") or Plan()
            status = plan.creates.pop(0) if len(plan.creates) > 1 else plan.creates[0]
            noted = {
                "path": self.path, "model": model, "input": values, "key": key, "id": None, "status": status,
                "cancel_after": self.headers.get("Cancel-After"),
            }  # fmt: skip
            earlier = [each["id"] for each in double.creates if key and each["key"] == key and each["id"]]
            if status < 300 and not plan.turned_away:
                made = double.predictions[earlier[0]] if earlier and double.honours_keys else None
                name = f"p{len(double.predictions) + 1}" if double.names is None else double.names
                made = made or Made(name, plan, model)
                double.predictions[made.id] = made
                noted["id"] = made.id
            double.creates.append(noted)
        self._held("create", plan)
        if made is None:
            self._fault(status, plan)
        else:
            self._say(status, self._shown(made, plan.begins), plan)

    def _poll(self, prediction_id: str) -> None:
        made = self.double.predictions.get(prediction_id)
        if made is None:
            self._say(404, {"detail": "no such prediction"})
            return
        with self.double.lock:
            now = made.plan.polls[min(made.asked, len(made.plan.polls) - 1)]
            made.asked += 1
        self._held("poll", made.plan)
        if isinstance(now, int):
            self._fault(now, made.plan)
        else:
            self._say(200, self._shown(made, "canceled" if made.canceled else now), made.plan)

    def _cancel(self, prediction_id: str) -> None:
        self.double.cancels.append(prediction_id)
        made = self.double.predictions.get(prediction_id)
        if made is None:
            self._say(404, {"detail": "no such prediction"})
        else:
            made.canceled = True
            self._say(200, self._shown(made, "canceled"))

    def _download(self, prediction_id: str) -> None:
        made = self.double.predictions[prediction_id]
        with self.double.lock:
            self.double.downloads.append(prediction_id)
            status = made.plan.downloads[min(made.downloaded, len(made.plan.downloads) - 1)]
            made.downloaded += 1
        self._held("download", made.plan)
        if status == 200:
            self._send(200, self._file(made), "application/octet-stream", made.plan)
        else:
            self._fault(status, made.plan)

    def _held(self, what: str, plan: Plan) -> None:
        if what in plan.holds:
            plan.released.wait(60)

    def _shown(self, made: Made, status: str) -> dict[str, Any]:
        plan = made.plan
        shown: dict[str, Any] = {
            "id": made.id,
            "status": status,
            "urls": {"get": "https://elsewhere.example/get", "cancel": "https://elsewhere.example/cancel"},
            "output": None,
            "error": plan.error,
            "metrics": {},
            "data_removed": plan.data_removed,
        }
        if status == "succeeded":
            data = f"data:application/octet-stream;base64,{base64.b64encode(self._file(made)).decode()}"
            output = json.dumps(plan.output).replace("{url}", f"{self.double.url}/outputs/{made.id}/0")
            shown["output"] = json.loads(output.replace("{data}", data))
        if status in ("succeeded", "failed"):
            shown["metrics"] = {"predict_time": plan.predict_time}
        return shown

    def _file(self, made: Made) -> bytes:
        return made.plan.made or (PICTURE if "picture" in made.model else CLIP)

    def _fault(self, status: int, plan: Plan) -> None:
        self._send(status, plan.fault.encode(), "application/json", plan)

    def _say(self, status: int, body: dict[str, Any], plan: Plan | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", plan)

    def _send(self, status: int, body: bytes, media_type: str, plan: Plan | None = None) -> None:
        status = self.double.refuses or status
        # Whoever asked may have been killed meanwhile.
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Type": media_type, **(plan.headers if plan else {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


if __name__ == "__main__":
    Double(int(sys.argv[1])).listen().serve_forever()
