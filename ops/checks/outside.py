"""Those outside whom we need: the mail server, the providers, and the payment gateway."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2

from config import ModerationMode, Settings
from config.basis import told
from ops.findings import Finding, fail, ok, warn
from ops.stripe import examine
from worker.backends import offers
from worker.mail import MailError
from worker.mail.compose import sender_of
from worker.mail.smtp import Smtp
from worker.payments import gateway_for

PATIENCE_SECONDS = 4.0


def mail(chosen: Settings) -> Iterator[Finding]:
    url = urlsplit(chosen.smtp_url)
    if url.scheme in ("file", "console"):
        what = f"e-mails go nowhere but to {'a folder' if url.scheme == 'file' else 'the log'}"
        yield ok(what) if chosen.in_development else warn(what, "Set SMTP_URL to a mail server")
        return
    where = f"the mail server at {url.hostname}"
    server = Smtp(chosen.smtp_url, timeout=PATIENCE_SECONDS, name=sender_of(chosen.mail_from).domain)
    try:
        server.greet()
    except MailError as error:
        yield fail(f"{where} does not take us: {error.trouble}", "See SMTP_URL, and docs/email.md")
        return
    yield ok(f"{where} takes us{' with our password' if url.username else ''}; no mail was sent")


def providers(chosen: Settings) -> Iterator[Finding]:
    models: dict[str, set[str]] = {}
    for offer in offers(chosen).values():
        models.setdefault(offer.provider, set()).add(offer.model)
    if chosen.moderation is ModerationMode.openai:
        models.setdefault("openai", set())
    for name, wanted in sorted(models.items()):
        if name == "openai":
            yield _openai(chosen, wanted)
        elif name == "predictions":
            yield _predictions(chosen)
        elif name == "mock" and not chosen.in_development:
            yield warn("mock makes what users pay for", "Set AI_MODE or AI_PROVIDERS to real providers")
        else:
            yield ok(f"{name} needs no key")


def _openai(chosen: Settings, wanted: set[str]) -> Finding:
    base = chosen.openai_base_url or "https://api.openai.com/v1"
    answer = _ask("openai", f"{base}/models", told(chosen.openai_api_key), "OPENAI_API_KEY")
    if isinstance(answer, Finding):
        return answer
    try:
        listed = {each["id"] for each in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return warn("openai takes our key, but lists no models", "Is OPENAI_BASE_URL right?")
    if missing := sorted(wanted - listed):
        what = f"openai takes our key, but does not list {', '.join(missing)}"
        return warn(what, "Name models it has in AI_PROVIDERS, or ask for access to these")
    return ok(f"openai takes our key and has {', '.join(sorted(wanted)) or 'what moderation needs'}")


def _predictions(chosen: Settings) -> Finding:
    url, key = chosen.predictions_url, told(chosen.predictions_api_key)
    answer = _ask("predictions", f"{url}/account", key, "PREDICTIONS_API_KEY")
    return answer if isinstance(answer, Finding) else ok("predictions takes our key")


def _ask(name: str, url: str, key: str, setting: str) -> httpx2.Response | Finding:
    """A cheap question that only a good key is answered; what it came to when it was not."""
    headers = {"Authorization": f"Bearer {key}", "User-Agent": "Coinop"} if key else {"User-Agent": "Coinop"}
    host = urlsplit(url).hostname
    try:
        answer = httpx2.get(url, headers=headers, timeout=PATIENCE_SECONDS, follow_redirects=False)
    except httpx2.HTTPError as error:
        what = f"{name} at {host} cannot be reached ({type(error).__name__})"
        return fail(what, "See the network, and the provider's own page of its state")
    if answer.status_code in (401, 403):
        return fail(f"{name} at {host} refuses our key ({answer.status_code})", f"Set {setting} to a good one")
    if answer.status_code in (404, 405):
        return warn(f"{name} at {host} answers, and has no cheap way to try the key", "Run a job to see")
    if answer.status_code >= 300:
        return fail(f"{name} at {host} answers {answer.status_code}", "See docs/runbook.md#providers")
    return answer


def payments(chosen: Settings) -> Iterator[Finding]:
    if gateway_for(chosen).name != "stripe":
        what = "the mock gateway takes the payments"
        yield ok(what) if chosen.in_development else warn(what, "See docs/payments.md for how to go on sale")
        return
    yield from examine(chosen)
