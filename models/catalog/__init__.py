"""The catalog: what is sold, for how much, and what a new user gets.

A preset is one TOML document (`document.py` says what may be in it, `consistency.py` what must fit together,
`presets.py` reads and writes it). Loading it stores a new version (`versions.py`), so a broken file changes nothing;
`changes.py` tells two catalogs apart.
"""

from models.catalog.changes import Change, changes
from models.catalog.document import (
    Action,
    Allowance,
    Billing,
    Catalog,
    Money,
    Name,
    Pack,
    Period,
    Plan,
    Promotion,
    Rate,
    Referral,
    Reset,
    SignupGrant,
    Unlimited,
    WalletKind,
)
from models.catalog.presets import read_preset, write_preset
from models.catalog.versions import (
    CatalogVersion,
    PlanAllowance,
    PlanVersion,
    Shelf,
    current,
    known_terms,
    load,
    plan_version,
    terms,
)

__all__ = [
    "Action",
    "Allowance",
    "Billing",
    "Catalog",
    "CatalogVersion",
    "Change",
    "Money",
    "Name",
    "Pack",
    "Period",
    "Plan",
    "PlanAllowance",
    "PlanVersion",
    "Promotion",
    "Rate",
    "Referral",
    "Reset",
    "Shelf",
    "SignupGrant",
    "Unlimited",
    "WalletKind",
    "changes",
    "current",
    "known_terms",
    "load",
    "plan_version",
    "read_preset",
    "terms",
    "write_preset",
]
