"""What can be wrong, in the words of the product.

Every refusal a user can meet is one of these. `code` is stable and public; the front door turns them into problem
documents (`web/problems.py`), so no view handles them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

STANDARD_MEMBERS = frozenset(("type", "title", "status", "code", "detail", "instance"))
"""What every problem document has (RFC 9457); the facts of a refusal go by other names."""


class Refusal(Exception):
    """A request the product declines, with its stable `code`, HTTP `status` and a sentence for people."""

    status = 400
    code = "refused"
    title = "Refused"

    def __init__(self, detail: str, **members: Any) -> None:
        if members.keys() & STANDARD_MEMBERS:
            raise TypeError(f"a problem document has {members.keys() & STANDARD_MEMBERS} of its own")
        super().__init__(detail)
        self.detail = detail
        self.members = members
        """More facts for the problem document, such as `required` and `available`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value: where (`input.prompt`) and what is wrong with it."""

    field: str
    message: str


class InvalidInput(Refusal):
    """Values that cannot be used; `faults` names each."""

    status = 422
    code = "invalid_input"
    title = "Some values cannot be used"

    def __init__(self, *faults: Fault) -> None:
        super().__init__(
            "; ".join(f"{fault.field}: {fault.message}" for fault in faults),
            errors=[{"field": fault.field, "message": fault.message} for fault in faults],
        )
        self.faults = faults

    @classmethod
    def from_pydantic(cls, error: ValidationError, *, under: str = "") -> InvalidInput:
        """The same faults by path, never echoing the refused values back (they may be secrets)."""
        faults = []
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            path = ".".join(str(part) for part in ((under, *fault["loc"]) if under else fault["loc"]))
            faults.append(Fault(path or "body", fault["msg"].removeprefix("Value error, ")))
        return cls(*faults)


class PictureRefused(Refusal):
    """Bytes that are no picture as they are taken here. Member `why`: `format`, `type` (another one than declared),
    `animated`, `damaged` or `pixels`, which has the member `most_pixels` too."""

    status = 422
    code = "picture_refused"
    title = "This picture cannot be used"

    def __init__(self, why: str, detail: str, **members: Any) -> None:
        super().__init__(detail, why=why, **members)
        self.why = why


class UploadSpaceFull(Refusal):
    """The user's uploads take as much space as they may. Members, in bytes: `limit`, `used`, `size` of the new one."""

    status = 409
    code = "upload_space_full"
    title = "No space for more uploads"


class TooManyUploads(Refusal):
    """As many uploads are under way as are taken at once. Member: `retry_after` in seconds."""

    status = 429
    code = "too_many_uploads"
    title = "Too many uploads at once"


class NotFound(Refusal):
    """There is no such thing, or it is not the caller's: the two are told apart by nobody."""

    status = 404
    code = "not_found"
    title = "Not found"


class Unauthorized(Refusal):
    status = 401
    code = "unauthorized"
    title = "Not signed in"


class AccountSuspended(Refusal):
    """The house has suspended the account; told only to who has its password or a token of it."""

    status = 403
    code = "account_suspended"
    title = "This account is suspended"


class ScopeRequired(Refusal):
    """An API key that may not do this. Member: `scope`, the one that is missing; null where no key may."""

    status = 403
    code = "scope_required"
    title = "This API key may not do this"


class WrongPassword(Refusal):
    """The current password, asked for again before something that cannot be undone, was wrong."""

    status = 403
    code = "wrong_password"
    title = "The password is wrong"


class RoleRequired(Refusal):
    """Only those with a role may do this. Member: `role`."""

    status = 403
    code = "role_required"
    title = "Your role does not include this"


class OwnAccount(Refusal):
    """Nobody decides about themselves: another admin has to."""

    status = 403
    code = "own_account"
    title = "Somebody else must do this"


class AccountClosing(Refusal):
    status = 409
    code = "account_closing"
    title = "This account is being closed"


class LastAdmin(Refusal):
    status = 409
    code = "last_admin"
    title = "Somebody must stay an admin"


class TooManyApiKeys(Refusal):
    """The user has as many API keys as there may be. Member: `limit`."""

    status = 409
    code = "too_many_api_keys"
    title = "Too many API keys"


class TokenNotGood(Refusal):
    """A link out of an e-mail that was used, has run out, or was never ours."""

    status = 410
    code = "token_not_good"
    title = "This link is not good any more"


class LinkExpired(Refusal):
    """A link to a file whose time is over."""

    status = 410
    code = "link_expired"
    title = "This link is not good any more"


class OutputGone(Refusal):
    """A file that a job made and that is not kept any more."""

    status = 410
    code = "output_gone"
    title = "This file has been deleted"


class InsufficientCredits(Refusal):
    """The wallet has less than the price. Members, in credits: `required`, `available`, `shortfall`, `debt`."""

    status = 402
    code = "insufficient_credits"
    title = "Not enough credits"


class FeatureRequired(Refusal):
    """The caller's plan lacks what the action requires. Members: `feature`, and `plans` that have it."""

    status = 403
    code = "feature_required"
    title = "Your plan does not include this"


class ActionUnavailable(Refusal):
    """Nobody here makes what this action sells: no provider is set up for its kind."""

    status = 409
    code = "action_unavailable"
    title = "This action is not available"


class LimitReached(Refusal):
    """The plan's limit of something is used up. Members: `name`, `limit`, `used`."""

    status = 403
    code = "limit_reached"
    title = "Your plan does not include more of these"


class TooManyRequests(Refusal):
    """Something was done more often than its rate allows. Members: `limit`, `per_seconds`, `retry_after` in seconds."""

    status = 429
    code = "too_many_requests"
    title = "Too often"


class FairUseExceeded(TooManyRequests):
    """What the plan calls unlimited was used more often than is fair."""

    code = "fair_use_exceeded"
    title = "More than fair use"


class CodeNotGood(Refusal):
    """A promotional code that cannot be redeemed, now or ever. Member: `why`."""

    status = 409
    code = "code_not_good"
    title = "This code cannot be redeemed"


class ReferralRefused(Refusal):
    """A code that this user cannot name as the one who brought them. Member: `why`."""

    status = 409
    code = "referral_refused"
    title = "This code cannot have brought you"


class IdempotencyKeyReused(Refusal):
    status = 422
    code = "idempotency_key_reused"
    title = "This idempotency key was used with another request"


class TooManyJobs(Refusal):
    """The user has as many unfinished jobs as the catalog allows. Members: `limit`, `retry_after` in seconds."""

    status = 429
    code = "too_many_jobs"
    title = "Too many jobs at once"


class NotCancelable(Refusal):
    """Too late to stop a job. Member: `job_status`."""

    status = 409
    code = "not_cancelable"
    title = "This job has already ended"


class JobNotWaiting(Refusal):
    """Only a job that waits can be called. Member: `job_status`."""

    status = 409
    code = "not_waiting"
    title = "This job does not wait"


class EmailNotSendable(Refusal):
    """An e-mail that is not sent again. Member: `state`."""

    status = 409
    code = "not_sendable"
    title = "This e-mail is not sent again"


class CatalogChanged(Refusal):
    """Somebody changed the catalog since it was read. Member: `version`, the one that is sold now."""

    status = 412
    code = "catalog_changed"
    title = "The catalog has been changed meanwhile"


class JobNotRefundable(Refusal):
    """Nothing of a job's charge is left to give back. Members, in credits: `charged`, `given_back`."""

    status = 409
    code = "not_refundable"
    title = "Nothing of this job can be given back"


class JobNotFinished(Refusal):
    """Too early: the job has not ended. Member: `job_status`."""

    status = 409
    code = "job_not_finished"
    title = "This job has not ended"


class Underway(Refusal):
    """Something of the same thing is being done already."""

    status = 409
    code = "underway"
    title = "Still under way"


class AlreadySubscribed(Refusal):
    """The user pays for a plan already: it can be changed, not bought a second time."""

    status = 409
    code = "already_subscribed"
    title = "There is a subscription already"


class PaymentDeclined(Refusal):
    """The customer's bank said no. Member: `problem`, the gateway's code for why."""

    status = 402
    code = "payment_declined"
    title = "The payment was declined"


class GatewayRefused(Refusal):
    """Whoever takes the money did not do what was asked. Member: `problem`, a stable code."""

    status = 502
    code = "gateway_refused"
    title = "The payment service did not do it"


class BadSignature(Refusal):
    """A webhook that is not from the gateway, or too old to tell."""

    status = 400
    code = "bad_signature"
    title = "The signature does not fit"
