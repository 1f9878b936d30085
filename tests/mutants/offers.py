"""The guards of what is given away: codes, referrals, places. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROMOTIONS, REFERRALS, PLACES, NOTICES, REPLIES = (
    f"models/{name}.py" for name in ("promotions", "referrals", "places", "notices", "saved_replies")
)
OF_CODES = "tests/http/test_redemptions.py -k sqlite"
OF_REFERRALS = "tests/http/test_referrals.py -k sqlite"
OF_PLACES = "tests/http/test_entitlements.py -k sqlite"
OF_NOTICES = "tests/http/test_notices.py -k sqlite"
OF_REPLIES = "tests/http/test_saved_replies.py -k sqlite"
OF_RACES = "tests/races/test_offer_races.py"

OFFERS = [
    Mutant(
        "a code is good for so many users", PROMOTIONS,
        "where=None if cap is None else PromotionUse.redeemed < cap", "where=None", OF_CODES,
    ),
    Mutant(
        "a user redeems a code once", PROMOTIONS,
        "    if session.scalar(earlier) is not None:\n", "    if False:\n", OF_CODES,
    ),
    Mutant(
        "…also when asked many times at once", PROMOTIONS, "    users.lock(session, user_id)\n", "", OF_RACES,
    ),
    Mutant(
        "a code is good within its window", PROMOTIONS, "    _check_window(promotion, today)\n", "", OF_CODES,
    ),
    Mutant(
        "a code takes no plan of a higher rank away", PROMOTIONS,
        "held.terms.rank > catalog.plans[promotion.plan].rank or ", "", OF_CODES,
    ),
    Mutant(
        "a code takes no plan away that lasts longer", PROMOTIONS,
        "lasts = held.ends_at is None or held.ends_at >= months_after(today, promotion.months)", "lasts = False",
        OF_CODES,
    ),
    Mutant(
        "a wrong guess counts", "web/redemptions.py",
        "        promotions.count_guess(session, user_id=user_id)\n    with sessions() as session:\n",
        "        promotions.count_guess(session, user_id=user_id)\n", OF_CODES,
    ),
    Mutant(
        "a referral is rewarded once", REFERRALS, ", Referral.rewarded_at.is_(None))", ")", OF_REFERRALS,
    ),
    Mutant(
        "a referrer is rewarded up to the cap", REFERRALS, "    if is_there and times < terms.cap:\n",
        "    if is_there:\n",
        OF_REFERRALS,
    ),
    Mutant(
        "…also when many are rewarded at once", REFERRALS,
        "session.scalar(code.with_for_update(key_share=True))", "session.scalar(code)", OF_RACES,
    ),
    Mutant(
        "a reward comes for what the terms say", REFERRALS, "terms is None or terms.on != on", "terms is None",
        OF_REFERRALS,
    ),
    Mutant(
        "nobody brings themselves from another address", REFERRALS,
        "mailbox(mine) == mailbox(theirs)",
        "mine == theirs", OF_REFERRALS,
    ),
    Mutant(
        "two users never bring each other at once", REFERRALS,
        "    for each in sorted((user_id, referrer_id)):\n        users.lock(session, each)\n", "", OF_RACES,
    ),
    Mutant(
        "who has bought before was not brought", REFERRALS, "    if session.scalar(select(bought)):\n",
        "    if False:\n", OF_REFERRALS,
    ),
    Mutant(
        "a gift is no purchase", REFERRALS, ", Lot.source == Source.purchase)", ")", OF_REFERRALS,
    ),
    Mutant(
        "a plan's limit is kept", PLACES, "    if limit is not None and used >= limit:\n", "    if False:\n", OF_PLACES,
    ),
    Mutant(
        "…also when many are taken at once", PLACES, "    users.lock(session, user_id)\n", "", OF_RACES,
    ),
    Mutant(
        "a lot is told once", NOTICES,
        "told.on_conflict_do_nothing(index_elements=[Notice.ref]).returning(Notice.user_id)",
        "told.returning(Notice.user_id)", OF_NOTICES,
    ),
    Mutant(
        "what comes and goes by design is not told", NOTICES, "text(LASTING)", "Lot.usable", OF_NOTICES,
    ),
    Mutant(
        "only the owner of a job saves its replies", REPLIES, "Job.id == job_id, Job.user_id == user_id,",
        "Job.id == job_id,", OF_REPLIES,
    ),
]  # fmt: skip
