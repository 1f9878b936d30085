"""For those who run the system: is it alive, is it ready."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel

from models import readiness
from models.database import readings
from web.acting import for_everyone
from web.problems import Problem
from web.shelf import shelf

api = APIBlueprint("ops", __name__, abp_tags=[{"name": "ops"}])


class Health(BaseModel):
    status: str


@api.get("/healthz", responses={200: Health})
def healthz() -> dict[str, Any]:
    """This process answers."""
    return {"status": "ok"}


@api.get("/readyz", responses={200: Health, 404: Problem, 503: Problem})
def readyz() -> dict[str, Any]:
    """Jobs can be accepted.

    The database answers, takes what is written and has the form that this version needs, and a catalog is loaded. The
    broker is not needed for that."""
    for_everyone()
    with readings() as session:
        readiness.check_form(session)
        shelf.look_again()
        shelf.catalog(session)
    readiness.check_outbox()
    return {"status": "ready"}
