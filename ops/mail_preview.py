"""`make mail-preview`: every e-mail there is, written with made-up facts into a folder, to be looked at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from config import ROOT
from models.catalog import read_preset
from models.emails import NOTICES, Template
from worker.mail.render import render

FOLDER = ROOT / ".coinop" / "mail-preview"

_HOME = "https://app.example.com"
_PRICE = {"amount": 1299, "currency": "EUR"}
_CREDITS = [{"title": "Credits", "amount": 1200}, {"title": "Chat minutes", "amount": 30}]
_SOLD = {"title": "Starter", "price": _PRICE, "reference": "INV-2026-0042"}
_PAID = {**_SOLD, "credits": _CREDITS}


def _link(path: str, seconds: int) -> dict[str, Any]:
    return {"link": f"{_HOME}{path}?token=made-up-0123456789-0123456789", "link_seconds": seconds}


SAMPLES: dict[Template, dict[str, Any]] = {
    Template.verify_address: _link("/verify-email", 3 * 86_400),
    Template.already_registered: {},
    Template.reset_password: _link("/reset-password", 3600),
    Template.welcome: {},
    Template.password_changed: {},
    Template.confirm_new_address: _link("/confirm-email", 86_400),
    Template.address_changed: {},
    Template.account_closed: {},
    Template.low_balance: {"wallet": "Credits", "amount": 7},
    Template.credits_expiring: {
        "expiring": [
            {"title": "Credits", "amount": 40, "expires_at": "2026-11-27T10:00:00+00:00"},
            {"title": "Chat minutes", "amount": 5, "expires_at": "2026-11-28T10:00:00+00:00"},
        ]
    },
    Template.receipt: {**_PAID, "bonus": [{"title": "Credits", "amount": 100}]},
    Template.renewal: {**_PAID, "title": "Premium", "until": "2026-12-21T15:04:00+00:00"},
    Template.refund: _PAID,
    Template.dispute_opened: _SOLD,
    Template.dispute_won: _SOLD,
    Template.payment_failed: {"title": "Premium", "price": _PRICE, "retry_at": "2026-11-24T08:00:00+00:00"},
    Template.trial_ending: {"title": "Premium", "price": _PRICE, "ends_at": "2026-11-24T15:04:00+00:00"},
    Template.plan_ended: {"title": "Premium"},
}
"""Facts for each template, all that it can show among them."""


def sample(template: Template, product: str) -> dict[str, Any]:
    """All facts that a worker would have for this template."""
    return {
        **SAMPLES[template],
        "product": product,
        # Where an address is still to be proved, nobody is greeted by a name (models/emails/writing.py).
        "name": None if "link" in SAMPLES[template] else "Zoë Grün",
        "home": _HOME,
        "settings_link": f"{_HOME}/profile" if template in NOTICES else None,
        "at": "2026-11-21T15:04:35+00:00",
    }


def main() -> int:
    """Write every template to the folder that is named, or to one in the state folder, as HTML and as plain text."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    product = read_preset(ROOT / "presets" / "default.toml").title
    for template in Template:
        rendered = render(template, sample(template, product))
        (folder / f"{template}.html").write_text(rendered.html, encoding="utf-8")
        (folder / f"{template}.txt").write_text(f"{rendered.subject}\n\n{rendered.text}", encoding="utf-8")
    print(f"{len(Template)} e-mails, each as .html and .txt: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
