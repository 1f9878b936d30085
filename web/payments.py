"""Payments: what I paid, what I was billed, and the gateway's own page about it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, UrlConstraints

from config import settings
from models.api_keys import Scope
from models.database import readings, sessions
from models.errors import GatewayRefused
from models.payments import errands, payments
from models.payments.errands import ErrandState
from models.payments.payments import Paid
from models.payments.tables import Invoice, PaymentState
from web import tokens
from web.catalog import MoneyView
from web.pages import PageSize
from web.problems import Problem
from web.requests import Body
from web.times import render_time
from web.waiting import wait_for

api = APIBlueprint(
    "payments", __name__, url_prefix="/v1", abp_tags=[{"name": "payments"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read))


class PaymentPath(BaseModel):
    payment_id: UUID


class PaymentQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class InvoiceQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The `next` of the page before."
    )
    limit: PageSize = 20


class PaymentView(BaseModel):
    id: str
    object: str
    title: str
    price: MoneyView
    refunded: int = Field(description="What went back, in minor units.")
    status: str = Field(description="pending, succeeded, failed, partially_refunded, refunded or disputed.")
    decline: str | None = Field(description="Why the bank said no: a stable code of the gateway.")
    reference: str = Field(description="What the gateway knows it as.")
    receipt_url: str | None
    checkout_id: str | None
    invoice_id: str | None
    created_at: str
    paid_at: str | None


class PaymentList(BaseModel):
    payments: list[PaymentView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class InvoiceView(BaseModel):
    id: str
    object: str
    number: str | None
    status: str = Field(description="draft, open, paid, void or uncollectible.")
    due: MoneyView
    paid: int = Field(description="In minor units.")
    url: str | None = Field(description="The gateway's page of it.")
    pdf_url: str | None
    created_at: str


class InvoiceList(BaseModel):
    invoices: list[InvoiceView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class PortalRequest(Body):
    return_url: Annotated[AnyHttpUrl, UrlConstraints(max_length=2_000), Field(strict=False)] | None = Field(
        None, description="Where the customer comes back to."
    )


class PortalPath(BaseModel):
    portal_id: UUID


class PortalView(BaseModel):
    id: str
    object: str
    status: str = Field(description="waiting or done.")
    url: str | None = Field(description="Send the customer there soon: it ends after some minutes.")


def render(paid: Paid) -> dict[str, Any]:
    payment = paid.payment
    return {
        "id": str(payment.id),
        "object": "payment",
        "title": payment.title,
        "price": {"amount": payment.amount, "currency": payment.currency},
        "refunded": payment.refunded,
        "status": paid.standing,
        "decline": payment.decline,
        "reference": payment.gateway_id,
        "receipt_url": payment.receipt_url,
        "checkout_id": str(payment.checkout_id) if payment.checkout_id else None,
        "invoice_id": payment.invoice_id,
        "created_at": render_time(payment.created_at),
        "paid_at": render_time(payment.paid_at) if payment.paid_at else None,
    }


def render_invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "id": invoice.id,
        "object": "invoice",
        "number": invoice.number,
        "status": invoice.status,
        "due": {"amount": invoice.due, "currency": invoice.currency},
        "paid": invoice.paid,
        "url": invoice.page_url,
        "pdf_url": invoice.pdf_url,
        "created_at": render_time(invoice.created_at),
    }


@api.get("/payments", responses={200: PaymentList, 401: Problem, 422: Problem})
def history(query: PaymentQuery) -> dict[str, Any]:
    """My payments, newest first."""
    with readings() as session:
        found, following = payments.page(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after
        )
    return {"payments": [render(each) for each in found], "next": str(following) if following else None}


@api.get("/payments/<payment_id>", responses={200: PaymentView, 401: Problem, 404: Problem})
def show(path: PaymentPath) -> dict[str, Any]:
    """One of my payments."""
    with readings() as session:
        return render(payments.get(session, user_id=tokens.current_user_id(), payment_id=path.payment_id))


@api.post("/payments/<payment_id>/confirm", responses={200: PaymentView, 401: Problem, 404: Problem})
def confirm(path: PaymentPath) -> dict[str, Any]:
    """Have the gateway asked what has become of a payment, and tell what it says.

    Nothing the caller says is believed; a payment that succeeded gives its credits here if no event did before.
    """
    user_id = tokens.current_user_id()
    with sessions() as session:
        payments.look_again(session, user_id=user_id, payment_id=path.payment_id)
    paid = wait_for(
        lambda session: payments.get(session, user_id=user_id, payment_id=path.payment_id),
        lambda seen: seen.payment.state is PaymentState.succeeded,
    )
    return render(paid)


@api.get("/invoices", responses={200: InvoiceList, 401: Problem, 404: Problem, 422: Problem})
def invoices(query: InvoiceQuery) -> dict[str, Any]:
    """What my subscription was billed, newest first."""
    with readings() as session:
        found, following = payments.invoices(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after
        )
    return {"invoices": [render_invoice(each) for each in found], "next": following}


@api.post(
    "/portal-sessions",
    responses={201: PortalView, 202: PortalView, 401: Problem, 404: Problem, 422: Problem, 502: Problem},
)
def open_portal(body: PortalRequest) -> Response:
    """The way to the gateway's own page, where invoices are seen and cards changed."""
    user_id = tokens.current_user_id()
    return_url = str(body.return_url) if body.return_url else settings().app_url or settings().public_url
    with sessions() as session:
        asked = errands.open_portal(session, user_id=user_id, return_url=return_url)
    return _portal(asked.id, user_id)


@api.get("/portal-sessions/<portal_id>", responses={200: PortalView, 401: Problem, 404: Problem, 502: Problem})
def show_portal(path: PortalPath) -> Response:
    """A portal session that was still being opened."""
    response = _portal(path.portal_id, tokens.current_user_id())
    response.status_code = 200
    return response


def _portal(portal_id: UUID, user_id: UUID) -> Response:
    errand = wait_for(
        lambda session: errands.get(session, user_id=user_id, errand_id=portal_id),
        lambda seen: seen.state is not ErrandState.waiting,
    )
    if errand.problem:
        raise GatewayRefused("The page could not be opened. Try again later.", problem=errand.problem)
    url = (errand.answer or {}).get("url")
    response = jsonify({"id": str(errand.id), "object": "portal_session", "status": errand.state, "url": url})
    response.status_code = 201 if url else 202
    return response
