"""Periods: every moment belongs to one day, week and cycle, whatever the clocks of a zone do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.catalog import Period, Reset
from models.plans import Window, months_after, window
from models.plans.periods import WEEKDAYS
from tests.plans.clock import utc

ANCHOR = utc(2020, 1, 1)
TICK = timedelta(microseconds=1)
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut",
    "America/Havana", "America/Nuuk", "Pacific/Apia", "America/St_Johns", "Pacific/Kiritimati",
]  # fmt: skip


def day(moment: datetime, at: str, zone: str) -> Window:
    return window(Period.daily, Reset(at=at, zone=zone), moment, anchor=ANCHOR)


def week(moment: datetime, at: str, zone: str, weekday: str) -> Window:
    return window(
        Period.weekly, Reset.model_validate({"at": at, "zone": zone, "weekday": weekday}), moment, anchor=ANCHOR
    )


def cycle(moment: datetime, anchor: datetime) -> Window:
    return window(Period.cycle, Reset(), moment, anchor=anchor)


@pytest.mark.parametrize(
    ("zone", "at", "first", "begins", "hours"),
    [
        # Forward at 02:00 to 03:00 on 31 March 2030, back at 03:00 to 02:00 on 27 October.
        ("Europe/Berlin", "00:00", "2030-03-31", utc(2030, 3, 30, 23), 23),
        ("Europe/Berlin", "01:59", "2030-03-30", utc(2030, 3, 30, 0, 59), 24),
        ("Europe/Berlin", "01:59", "2030-03-31", utc(2030, 3, 31, 0, 59), 23),
        # 02:00 and 02:30 are skipped: they count from when they would have been.
        ("Europe/Berlin", "02:00", "2030-03-31", utc(2030, 3, 31, 1), 23),
        ("Europe/Berlin", "02:30", "2030-03-30", utc(2030, 3, 30, 1, 30), 24),
        ("Europe/Berlin", "02:30", "2030-03-31", utc(2030, 3, 31, 1, 30), 23),
        ("Europe/Berlin", "03:00", "2030-03-30", utc(2030, 3, 30, 2), 23),
        ("Europe/Berlin", "03:00", "2030-03-31", utc(2030, 3, 31, 1), 24),
        ("Europe/Berlin", "00:00", "2030-10-27", utc(2030, 10, 26, 22), 25),
        # 02:30 comes twice: it is the first.
        ("Europe/Berlin", "02:30", "2030-10-26", utc(2030, 10, 26, 0, 30), 24),
        ("Europe/Berlin", "02:30", "2030-10-27", utc(2030, 10, 27, 0, 30), 25),
        ("Europe/Berlin", "03:00", "2030-10-26", utc(2030, 10, 26, 1), 25),
        ("Europe/Berlin", "03:00", "2030-10-27", utc(2030, 10, 27, 2), 24),
        # Forward on 10 March 2030, back on 3 November.
        ("America/New_York", "00:00", "2030-03-10", utc(2030, 3, 10, 5), 23),
        ("America/New_York", "02:30", "2030-03-09", utc(2030, 3, 9, 7, 30), 24),
        ("America/New_York", "02:30", "2030-03-10", utc(2030, 3, 10, 7, 30), 23),
        ("America/New_York", "03:00", "2030-03-09", utc(2030, 3, 9, 8), 23),
        ("America/New_York", "00:00", "2030-11-03", utc(2030, 11, 3, 4), 25),
        ("America/New_York", "01:30", "2030-11-02", utc(2030, 11, 2, 5, 30), 24),
        ("America/New_York", "01:30", "2030-11-03", utc(2030, 11, 3, 5, 30), 25),
        ("America/New_York", "02:00", "2030-11-02", utc(2030, 11, 2, 6), 25),
        ("America/New_York", "02:00", "2030-11-03", utc(2030, 11, 3, 7), 24),
    ],
)
def test_days_around_daylight_saving(zone: str, at: str, first: str, begins: datetime, hours: int) -> None:
    expected = Window(first, begins, begins + timedelta(hours=hours))
    for moment in (begins, begins + timedelta(hours=hours / 2), expected.ends_at - TICK):
        assert day(moment, at, zone) == expected
        assert day(moment.astimezone(ZoneInfo(zone)), at, zone) == expected, "however the moment is written"
    assert day(begins - TICK, at, zone).ends_at == begins
    assert day(expected.ends_at, at, zone).starts_at == expected.ends_at


@pytest.mark.parametrize(
    ("weekday", "moment", "first"),
    [
        ("monday", utc(2030, 5, 6, 4), "2030-05-06"),
        ("monday", utc(2030, 5, 6, 3, 59), "2030-04-29"),
        ("monday", utc(2030, 5, 13, 3, 59), "2030-05-06"),
        ("sunday", utc(2030, 5, 5, 4), "2030-05-05"),
        ("sunday", utc(2030, 5, 5, 3, 59), "2030-04-28"),
        ("wednesday", utc(2030, 1, 1, 12), "2029-12-26"),
        ("saturday", utc(2030, 5, 6, 12), "2030-05-04"),
    ],
)
def test_weeks_begin_on_their_day(weekday: str, moment: datetime, first: str) -> None:
    found = week(moment, "04:00", "UTC", weekday)
    begins = datetime.fromisoformat(first).replace(hour=4, tzinfo=UTC)
    assert found == Window(first, begins, begins + timedelta(days=7))
    assert WEEKDAYS[begins.weekday()] == weekday


@pytest.mark.parametrize(
    ("moment", "hours"), [(utc(2030, 3, 28), 167), (utc(2030, 10, 24), 169), (utc(2030, 6, 6), 168)]
)
def test_a_week_with_daylight_saving_in_it(moment: datetime, hours: int) -> None:
    found = week(moment, "00:00", "Europe/Berlin", "monday")
    assert found.ends_at - found.starts_at == timedelta(hours=hours)
    assert week(found.starts_at, "00:00", "Europe/Berlin", "monday") == found
    assert week(found.ends_at, "00:00", "Europe/Berlin", "monday").starts_at == found.ends_at


@pytest.mark.parametrize(
    ("anchor", "ends"),
    [
        (utc(2031, 1, 29, 12), ["2031-02-28", "2031-03-29", "2031-04-29"]),
        (utc(2031, 1, 30, 12), ["2031-02-28", "2031-03-30", "2031-04-30"]),
        (utc(2031, 1, 31, 12), ["2031-02-28", "2031-03-31", "2031-04-30", "2031-05-31"]),
        (utc(2032, 1, 29, 12), ["2032-02-29", "2032-03-29"]),
        (utc(2032, 1, 31, 12), ["2032-02-29", "2032-03-31"]),
        (utc(2032, 2, 29, 12), ["2032-03-29", "2032-04-29"]),
        (utc(2031, 12, 31, 12), ["2032-01-31", "2032-02-29", "2032-03-31"]),
        (utc(2031, 5, 15, 12), ["2031-06-15", "2031-07-15"]),
    ],
)
def test_cycles_are_months_and_a_short_one_ends_with_its_month(anchor: datetime, ends: list[str]) -> None:
    begins = anchor
    for number, end in enumerate(ends):
        expected = Window(str(number), begins, datetime.fromisoformat(end).replace(hour=12, tzinfo=UTC))
        assert cycle(begins, anchor) == expected
        assert cycle(expected.ends_at - TICK, anchor) == expected
        begins = expected.ends_at


def test_a_yearly_plan_has_twelve_cycles_in_its_year() -> None:
    for anchor in (utc(2031, 3, 1), utc(2032, 2, 29), utc(2031, 12, 31)):
        begins, keys = anchor, []
        while begins < months_after(anchor, 12):
            found = cycle(begins, anchor)
            keys.append(found.key)
            begins = found.ends_at
        assert (begins, keys) == (months_after(anchor, 12), [str(number) for number in range(12)])


def test_before_its_start_a_plan_is_in_its_first_cycle() -> None:
    """As after the clock was set back: no other cycle is begun than the one that was."""
    anchor = utc(2031, 3, 31, 12)
    for moment in (anchor - TICK, anchor - timedelta(days=3), anchor - timedelta(days=400)):
        assert cycle(moment, anchor) == cycle(anchor, anchor)


def test_a_day_that_a_clock_shows_again_after_it_ended() -> None:
    """In St. John's clocks went back at 00:01, into the evening before, whose day was over."""
    ended = utc(2010, 11, 7, 2, 30)
    assert day(ended, "00:00", "America/St_Johns") == Window(
        "2010-11-07", utc(2010, 11, 7, 2, 30), utc(2010, 11, 8, 3, 30)
    )
    for minutes in (1, 30, 59, 61):
        found = day(ended + timedelta(minutes=minutes), "00:00", "America/St_Johns")
        assert found.key == "2010-11-07"


def test_a_day_that_a_zone_left_out() -> None:
    """Samoa went from 29 to 31 December 2011."""
    found = day(utc(2011, 12, 30, 9), "00:00", "Pacific/Apia")
    assert found == Window("2011-12-29", utc(2011, 12, 29, 10), utc(2011, 12, 30, 10))
    assert day(found.ends_at, "00:00", "Pacific/Apia").key == "2011-12-31"


moments = st.datetimes(datetime(2005, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
resets = st.builds(
    lambda at, zone, weekday: Reset(at=f"{at // 60:02}:{at % 60:02}", zone=zone, weekday=weekday),
    at=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(ZONES),
    weekday=st.sampled_from(WEEKDAYS),
)


@given(period=st.sampled_from(Period), reset=resets, moment=moments, anchor=moments, inside=st.floats(0, 1))
@example(Period.daily, Reset(zone="America/St_Johns"), utc(2010, 11, 7, 2, 45), ANCHOR, 0.5)
@example(Period.daily, Reset(at="05:00", zone="Pacific/Apia"), utc(2011, 12, 30, 12), ANCHOR, 0.5)
@example(Period.weekly, Reset(zone="America/St_Johns", weekday="sunday"), utc(2010, 11, 7, 2, 45), ANCHOR, 0.5)
def test_periods_tile_time(period: Period, reset: Reset, moment: datetime, anchor: datetime, inside: float) -> None:
    if period is Period.cycle:
        anchor, moment = min(anchor, moment), max(anchor, moment)
    keys = set()
    for _ in range(5):
        found = window(period, reset, moment, anchor=anchor)
        assert found.starts_at <= moment < found.ends_at
        for within in (
            found.starts_at,
            found.ends_at - TICK,
            found.starts_at + inside * (found.ends_at - TICK - found.starts_at),
        ):
            assert window(period, reset, within, anchor=anchor) == found
        keys.add(found.key)
        moment = found.ends_at
        assert window(period, reset, moment, anchor=anchor).starts_at == moment
    assert len(keys) == 5, "no key returns"


@given(anchor=moments, months=st.integers(0, 240))
def test_months_are_counted_from_the_start_and_not_from_each_other(anchor: datetime, months: int) -> None:
    found = months_after(anchor, months)
    assert (found.year - anchor.year) * 12 + found.month - anchor.month == months
    assert found.day == anchor.day or (found.day < anchor.day and (found + timedelta(days=1)).day == 1)
    assert found.time() == anchor.time()
