"""Transactions: the caller's statement, page by page, or as one CSV file of any length."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from models import transactions
from models.api_keys import Scope
from models.catalog import Name
from models.database import readings
from models.ledger import Reason, Source
from models.transactions import Transaction, Type, Wanted
from web import tokens
from web.pages import HIGHEST_KEY, PageSize
from web.problems import Problem
from web.times import render_time
from web.wallets import owned

api = APIBlueprint(
    "transactions", __name__, url_prefix="/v1", abp_tags=[{"name": "credits"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))

ROWS_PER_CHUNK = 500
"""Rows of a file that are read and sent at a time: some 100 KB, and a read of milliseconds."""

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula, when it begins with it."""


def _rfc_3339(value: object) -> object:
    if isinstance(value, str):
        # A plus sign that nobody has escaped arrives as a space.
        value = re.sub(r" (?=\d\d:\d\d$)", "+", value)
        if not RFC_3339.fullmatch(value) or not "1970" <= value[:4] <= "9998":
            raise ValueError("expected a time such as 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]


class TransactionQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    wallet: Name | None = None
    type: Type | None = None
    action: Name | None = None
    since: Moment | None = Field(None, alias="from", description="The first moment, RFC 3339.")
    until: Moment | None = Field(None, alias="to", description="The moment before which they were made, RFC 3339.")
    job_id: UUID | None = None
    limit: PageSize | None = Field(None, description="How many at most: 20 unless told; in a CSV file all.")
    after: Annotated[int, Field(ge=1, le=HIGHEST_KEY)] | None = Field(
        None, description="The `next` of the page before."
    )
    format: Literal["json", "csv"] | None = Field(None, description="Goes before the `Accept` header.")

    @field_validator("until")
    @classmethod
    def _after_the_first(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if until and since and until <= since:
            raise ValueError("expected after `from`")
        return until


class TransactionView(BaseModel):
    id: str
    created_at: str
    wallet: str
    type: Type
    amount: int = Field(description="Credits; below zero when they left.")
    balance_after: int = Field(description="What the wallet could still use right after it.")
    action: str | None
    kind: str | None = Field(description="The kind of the job, or `spend`.")
    description: str
    reason: Reason
    source: Source = Field(description="Where these credits came from when they were granted.")
    job_id: str | None
    spend_id: str | None
    metadata: dict[str, Any]


class TransactionList(BaseModel):
    transactions: list[TransactionView]
    next: str | None = Field(
        description="Give it as `after` for the next page; null on the last. A page before it may be short."
    )


COLUMNS = tuple(TransactionView.model_fields)


def render(made: Transaction) -> dict[str, Any]:
    return {
        "id": str(made.id),
        "created_at": render_time(made.created_at),
        "wallet": made.wallet,
        "type": made.type,
        "amount": made.amount,
        "balance_after": made.balance_after,
        "action": made.action,
        "kind": made.kind,
        "description": made.description,
        "reason": made.reason,
        "source": made.source,
        "job_id": str(made.job_id) if made.job_id else None,
        "spend_id": str(made.spend_id) if made.spend_id else None,
        "metadata": made.metadata,
    }


@api.get("/transactions", responses={200: TransactionList, 401: Problem, 422: Problem})
def statement(query: TransactionQuery) -> Response:
    """My statement, newest first: every change of what I can use.

    With `Accept: text/csv` or `format=csv` it comes as a file, complete unless `limit` is given.
    """
    wanted = Wanted(
        wallet=query.wallet,
        type=query.type,
        action=query.action,
        since=query.since and query.since.astimezone(UTC),
        until=query.until and query.until.astimezone(UTC),
        job_id=query.job_id,
    )
    if query.after is None:
        # Whoever reads the statement of today expects the allowance of today in it.
        owned(tokens.current_user_id())
    response = _file(wanted, query) if _asks_for_csv(query) else _page(wanted, query)
    response.vary.add("Accept")
    return response


def _asks_for_csv(query: TransactionQuery) -> bool:
    preferred = request.accept_mimetypes.best_match(["application/json", "text/csv"])
    return query.format == "csv" or (query.format is None and preferred == "text/csv")


def _page(wanted: Wanted, query: TransactionQuery) -> Response:
    user_id, limit = tokens.current_user_id(), query.limit or 20
    with readings() as session:
        found, following = transactions.page(session, user_id=user_id, limit=limit, after=query.after, wanted=wanted)
    return jsonify(
        {"transactions": [render(made) for made in found], "next": str(following) if following else None},
    )


def _file(wanted: Wanted, query: TransactionQuery) -> Response:
    chunks = _chunks(tokens.current_user_id(), wanted, query.after, query.limit)
    # The first chunk is read here: when the database is away that is still a problem document, not half a file.
    first = next(chunks)
    response = Response(_all(first, chunks), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="transactions.csv"'
    return response


def _all(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _chunks(user_id: UUID, wanted: Wanted, after: int | None, limit: int | None) -> Iterator[str]:
    """The lines of the file, some hundred at a time; nothing is held open while a chunk is on its way."""
    rows: list[list[Any]] = [list(COLUMNS)]
    left = limit
    while True:
        asked = ROWS_PER_CHUNK if left is None else min(left, ROWS_PER_CHUNK)
        with readings() as session:
            found, after = transactions.page(session, user_id=user_id, limit=asked, after=after, wanted=wanted)
        rows += [[_cell(value) for value in render(made).values()] for made in found]
        yield _lines(rows)
        left = None if left is None else left - len(found)
        if after is None or left == 0:
            return
        rows = []


def _cell(value: Any) -> Any:
    """A value as a cell; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    if isinstance(value, str) and value.startswith(DANGEROUS):
        return f"'{value}"
    return value


def _lines(rows: list[list[Any]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
