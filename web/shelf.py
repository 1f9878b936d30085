"""The catalog as this process knows it: every view that needs it takes it from here."""

from __future__ import annotations

from models.catalog import Shelf

shelf = Shelf()
