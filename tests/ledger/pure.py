"""The ledger once more, in plain Python and by the rules alone: what every balance must be after each verb.

Time is whole hours here. Nothing is shared with the product: no query, no table, no word of its code.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class PureLot:
    wallet: int
    id: int
    ref: str
    issued: int
    bought: bool
    expires: int | None
    available: int = 0
    held: int = 0
    spent: int = 0
    expired: int = 0
    clawed_back: int = 0

    def row(self) -> tuple[int, ...]:
        return self.id, self.issued, self.available, self.held, self.spent, self.expired, self.clawed_back


@dataclass(eq=False)
class PureJob:
    wallet: int
    holds: list[tuple[PureLot, int]]
    charged: int | None = None

    @property
    def held(self) -> int:
        return sum(amount for _, amount in self.holds)


@dataclass(eq=False)
class PureClawback:
    lot: PureLot
    ref: str
    amount: int
    taken: int
    debt: int
    paid: int = 0
    restored: bool = False
    from_lots: list[tuple[PureLot, int]] = field(default_factory=list)

    @property
    def open(self) -> int:
        return 0 if self.restored else self.debt - self.paid


@dataclass
class PureBooks:
    """All wallets of the product. A verb that is refused changes nothing and says so by None or False."""

    clock: int = 0
    lots: list[PureLot] = field(default_factory=list)
    clawbacks: list[PureClawback] = field(default_factory=list)

    def of(self, wallet: int) -> list[PureLot]:
        return [lot for lot in self.lots if lot.wallet == wallet]

    def debt(self, wallet: int) -> int:
        return sum(each.open for each in self.clawbacks if each.lot.wallet == wallet)

    def usable(self, wallet: int) -> int:
        """What is available and not overdue."""
        return sum(lot.available for lot in self.of(wallet) if not self._overdue(lot))

    def sums(self, wallet: int) -> tuple[int, int, int]:
        mine = self.of(wallet)
        return sum(lot.available for lot in mine), sum(lot.held for lot in mine), self.debt(wallet)

    def next_expiry(self, wallet: int) -> int | None:
        return min((lot.expires for lot in self.of(wallet) if lot.available and lot.expires is not None), default=None)

    def grant(self, lot: PureLot) -> None:
        lot.available = lot.issued
        self.lots.append(lot)
        self._pay_debt(lot, own=False)

    def hold(self, wallet: int, amount: int) -> PureJob | None:
        burnt = self._burn(wallet, amount)
        if burnt is None:
            return None
        for lot, part in burnt:
            lot.held += part
        return PureJob(wallet, burnt)

    def spend(self, wallet: int, amount: int) -> bool:
        burnt = self._burn(wallet, amount)
        for lot, part in burnt or ():
            lot.spent += part
        return burnt is not None

    def settle(self, job: PureJob, amount: int) -> None:
        left = job.charged = amount
        for lot, part in job.holds:
            charged = min(part, left)
            left -= charged
            lot.held -= part
            lot.spent += charged
            lot.available += part - charged
        if amount < job.held:
            for lot, _ in job.holds:
                self._pay_debt(lot, own=True)
            self.expire(job.wallet)

    def expire(self, wallet: int) -> int:
        late = [lot for lot in self.of(wallet) if self._overdue(lot)]
        expired = sum(lot.available for lot in late)
        for lot in late:
            lot.expired += lot.available
            lot.available = 0
        return expired

    def clawback(self, lot: PureLot, amount: int, ref: str) -> PureClawback | None:
        """All that was asked back of a lot is taken from it, owed for what was used of it, or let go as expired."""
        earlier = [each for each in self.clawbacks if each.lot is lot and not each.restored]
        if amount > lot.issued - sum(each.amount for each in earlier):
            return None
        taken = min(amount, lot.available)
        used = lot.spent + lot.held + sum(
            part for each in self.clawbacks if each.lot is not lot and not each.restored
            for source, part in each.from_lots if source is lot
        )  # fmt: skip
        # Debt that this very lot has paid since is no longer owed for what was used of it.
        owed = sum(
            each.debt + each.taken - sum(part for source, part in each.from_lots if source is lot) for each in earlier
        )
        debt = min(amount - taken, max(used - owed, 0))
        made = PureClawback(lot, ref, amount, taken, debt)
        self.clawbacks.append(made)
        self._take(made, lot, taken)
        return made

    def restore(self, clawback: PureClawback) -> None:
        clawback.restored = True
        for lot, part in clawback.from_lots:
            lot.clawed_back -= part
            lot.available += part
        self.expire(clawback.lot.wallet)

    def _overdue(self, lot: PureLot) -> bool:
        return lot.expires is not None and lot.expires <= self.clock

    def _burn(self, wallet: int, amount: int) -> list[tuple[PureLot, int]] | None:
        if self.debt(wallet) or self.usable(wallet) < amount:
            return None
        self.expire(wallet)
        never = 10**9
        burnt = []
        for lot in sorted(self.of(wallet), key=lambda x: (x.bought, never if x.expires is None else x.expires, x.id)):
            part = min(lot.available, amount)
            if part:
                lot.available -= part
                amount -= part
                burnt.append((lot, part))
        return burnt

    def _pay_debt(self, lot: PureLot, *, own: bool) -> None:
        for each in self.clawbacks:
            if each.lot.wallet == lot.wallet and (each.lot is lot or not own):
                part = min(lot.available, each.open)
                each.paid += part
                self._take(each, lot, part)

    @staticmethod
    def _take(clawback: PureClawback, lot: PureLot, amount: int) -> None:
        if amount:
            lot.available -= amount
            lot.clawed_back += amount
            clawback.from_lots.append((lot, amount))
