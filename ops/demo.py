"""`make demo`: what a client sees. A fresh user, a job and its receipt, a job that fails and its refund."""

from __future__ import annotations

import argparse
import secrets
import sys
from urllib.parse import quote

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from config import BadSettings, settings
from ops.demo_client import Api, JsonObject, NotThere, Refused
from ops.service import in_url, local

PROMPT = "She wrote: shall we meet at eight, or is that too late for you?"
PICTURE = "https://example.com/a-picture.png"
RECORDING = "https://example.com/a-recording.wav"
FAILING_PROMPT = "She wrote: see you! [mock:fail]"
PATIENCE_SECONDS = 12.0
"""How long one job may take here; with the mock provider it takes about a second."""

console = Console(highlight=False)


def show(api: Api) -> None:
    """Run the demonstration against `api`. Raises `NotThere`, `Refused`."""
    console.print(f"Coinop at {api.url}", style="bold")

    _title("1", "Sign up")
    email = f"demo-{secrets.token_hex(4)}@example.com"
    account = api.signup(email)
    balances = account["user"]["balances"]
    _line("user", email)
    _line("balance", ", ".join(f"{each['available']} {wallet}" for wallet, each in balances.items()))

    action, price = _choose(api)
    order = _order(action, PROMPT)
    _title("2", f"A job: {action['name']}")
    parts = ", ".join(f"{part['label']} {part['amount']}" for part in price["breakdown"])
    _line("prompt", PROMPT)
    _line("price", f"{price['price']} {price['wallet']}  ({parts})")
    job = _run(api, order, price["wallet"])
    for output in job["outputs"]:
        _show_output(output)

    _title("3", "A job that fails")
    order = _order(action, FAILING_PROMPT)
    _line("prompt", FAILING_PROMPT)
    if api.estimate(order)["affordable"]:
        job = _run(api, order, price["wallet"])
        if job["status"] == "completed":
            console.print("  It did not fail: only the mock provider in development can be told to.")
    else:
        console.print("  The credits of a new user do not suffice for a second job here.")

    _title("4", "Where to look next")


def _choose(api: Api) -> tuple[JsonObject, JsonObject]:
    """An action that a new user can pay for, with its price, best one that answers in words. Raises `Refused`."""
    jobs = [action for action in api.actions() if action["available"] and action["kind"] != "spend"]
    for action in sorted(jobs, key=lambda action: action["kind"] != "chat"):
        price = api.estimate(_order(action, PROMPT))
        if price["affordable"]:
            return action, price
    raise Refused("What is sold here has no action that runs a job and that a new user can pay for.")


def _order(action: JsonObject, words: str) -> JsonObject:
    # Where there are only addresses, the words travel in one of them.
    picture = f"{PICTURE}?{quote(words)}"
    given = {
        "vision": {"prompt": words, "image_url": PICTURE},
        "image_edit": {"prompt": words, "image_url": PICTURE},
        "upscale": {"image_url": picture},
        "speech": {"text": words},
        "lipsync": {"image_url": picture, "audio_url": RECORDING},
    }
    return {"action": action["name"], "input": given.get(action["kind"], {"prompt": words})}


def _run(api: Api, order: JsonObject, wallet: str) -> JsonObject:
    before = api.balance(wallet)
    submitted = api.submit(order)
    job = submitted.body
    _line("submit", f"202, job {job['id']} is {job['status']}, {job['cost']['held']} {wallet} held")
    job = api.follow(submitted, PATIENCE_SECONDS, _saw)
    if job["error"]:
        _line("error", f"{job['error']['code']}: {job['error']['message']}", style="red")
    _show_receipt(job, before, api.balance(wallet))
    return job


def _saw(http_status: int, job_status: str) -> None:
    _line("poll", f"{http_status}, nothing new" if http_status == 304 else f"{http_status}, {job_status}")


def _show_receipt(job: JsonObject, before: int, after: int) -> None:
    cost = job["cost"]
    table = Table(
        box=box.ROUNDED, show_header=False, title=f"Receipt: {job['status']}", title_style="bold", min_width=30
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_row("balance before", str(before), end_section=True)
    for name in ("estimate", "held", "charged", "refunded"):
        table.add_row(name, str(cost[name]), end_section=name == "refunded")
    table.add_row("balance after", f"[bold]{after}[/bold]")
    console.print(table)


def _show_output(output: JsonObject) -> None:
    if output["type"] == "file":
        _line("output", f"{output['media_type']}, {output['size']} bytes: {output['url']}")
        return
    lines = [escape(output["text"]), *(f"  • {escape(reply)}" for reply in output.get("suggestions") or ())]
    console.print(Panel("\n".join(lines), title="Answer", title_align="left", width=min(console.width, 100)))


def _title(number: str, text: str) -> None:
    console.print(f"\n[bold cyan]{number}  {escape(text)}[/bold cyan]")


def _line(label: str, text: str, *, style: str = "") -> None:
    console.print(f"  [dim]{label:<9}[/dim]", end="")
    console.print(text, style=style, markup=False, soft_wrap=True)


def _show_next(url: str, flower: str | None) -> None:
    _line("docs", f"{url}/docs")
    if flower:
        _line("Flower", f"{flower}/tasks  (both jobs, by the same ids; `make up` printed user and password)")
    console.print()


def main() -> int:
    """Find the running system and show it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--url", help="where Coinop answers; without it, HOST and PORT of the settings")
    url = parser.parse_args().url
    flower = None
    if url is None:
        try:
            here = settings()
        except BadSettings as error:
            print(f"{error}\nThe demo needs a running Coinop: start it with `make up`.", file=sys.stderr)
            return 1
        host = in_url(local(here.host))
        url, flower = f"http://{host}:{here.port}", f"http://{host}:{here.flower_port}"
    try:
        show(Api(url))
    except NotThere:
        print(f"Coinop is not answering at {url}; start it with `make up`.", file=sys.stderr)
        return 1
    except Refused as refused:
        print(f"Coinop refused: {refused}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _show_next(url, flower)
    return 0


if __name__ == "__main__":
    sys.exit(main())
