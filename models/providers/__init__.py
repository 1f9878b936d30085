"""Providers: how each AI backend is doing, known to all workers through the database.

`tables.py` has a row for each; `circuits.py` counts failures and stops asking a provider that is down; `admission.py`
lets an attempt in or puts its job back in line, and calls jobs from that line; `overview.py` shows it all.
"""

from models.providers.admission import PAGE, Entry, call, call_all, enter
from models.providers.circuits import Patience, answered, failed, let_go, standings
from models.providers.overview import Overview, overview
from models.providers.tables import NO_LIMITS, Limits, ProviderState, Standing

__all__ = [
    "NO_LIMITS",
    "PAGE",
    "Entry",
    "Limits",
    "Overview",
    "Patience",
    "ProviderState",
    "Standing",
    "answered",
    "call",
    "call_all",
    "enter",
    "failed",
    "let_go",
    "overview",
    "standings",
]
