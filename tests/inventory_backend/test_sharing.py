"""Who gets what came free: in the order of joining, all or nothing, nothing idle for long."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inventory_backend.sharing import Share, Wish, shared

NOW_MS, PATIENCE_MS = 1_000_000, 60_000


def wish(seq: int, gathered: dict[str, int] | None = None, since_ms: int | None = None, **needs: int) -> Wish:
    return Wish(seq, needs, dict.fromkeys(needs, 0) | (gathered or {}), since_ms, PATIENCE_MS)


def whole(changes: list[Share]) -> list[int]:
    return [one.seq for one in changes if one.is_whole]


def test_units_go_to_who_joined_first() -> None:
    changes, left = shared([wish(1, shoe=1), wish(2, shoe=1), wish(3, shoe=1)], {"shoe": 2}, NOW_MS)

    assert (whole(changes), left) == ([1, 2], {"shoe": 0})


def test_what_nobody_wants_is_left_for_everybody() -> None:
    changes, left = shared([wish(1, shoe=1)], {"shoe": 3}, NOW_MS)

    assert (whole(changes), left) == ([1], {"shoe": 2})


def test_a_small_wish_does_not_overtake_a_big_one() -> None:
    changes, left = shared([wish(1, shoe=2), wish(2, shoe=1)], {"shoe": 1}, NOW_MS)

    assert changes == [Share(1, False, {"shoe": 1}, NOW_MS)]
    assert left == {"shoe": 0}


def test_what_was_gathered_completes_the_wish() -> None:
    first = wish(1, {"shoe": 1}, since_ms=NOW_MS - 1, shoe=2)

    changes, left = shared([first, wish(2, shoe=1)], {"shoe": 1}, NOW_MS)

    assert (whole(changes), left) == ([1], {"shoe": 0})


def test_whoever_waits_for_too_much_too_long_lets_the_others_go_first() -> None:
    late = wish(1, {"shoe": 1}, since_ms=NOW_MS - PATIENCE_MS, shoe=2)

    changes, left = shared([late, wish(2, shoe=1)], {"shoe": 0}, NOW_MS)

    assert changes == [
        Share(1, False, {"shoe": 0}, NOW_MS - PATIENCE_MS),
        Share(2, True, {"shoe": 1}, NOW_MS),
    ]
    assert left == {"shoe": 0}


def test_whoever_waited_too_long_is_still_first_when_there_is_enough() -> None:
    late = wish(1, since_ms=NOW_MS - 2 * PATIENCE_MS, shoe=2)

    assert whole(shared([late, wish(2, shoe=1)], {"shoe": 2}, NOW_MS)[0]) == [1]
    assert shared([late], {"shoe": 1}, NOW_MS) == ([], {"shoe": 1})


def test_a_bundle_is_given_whole_and_holds_back_only_what_it_needs() -> None:
    bundle = wish(1, lace=1, shoe=1)

    changes, left = shared([bundle, wish(2, lace=1), wish(3, shoe=1)], {"lace": 2, "shoe": 0}, NOW_MS)

    assert changes == [Share(1, False, {"lace": 1, "shoe": 0}, NOW_MS), Share(2, True, {"lace": 1}, NOW_MS)]
    assert left == {"lace": 0, "shoe": 0}


SKUS = ("lace", "shoe")
NEEDS = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 4), min_size=1)


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    found = []
    for seq, needs in enumerate(draw(st.lists(NEEDS, max_size=8))):
        gathered = {sku: draw(st.integers(0, need - 1)) for sku, need in needs.items()}
        since_ms = draw(st.sampled_from([NOW_MS - 1, NOW_MS - PATIENCE_MS])) if any(gathered.values()) else None
        found.append(Wish(seq, needs, gathered, since_ms, PATIENCE_MS))
    return found


@given(wishes(), st.fixed_dictionaries({sku: st.integers(0, 9) for sku in SKUS}))
def test_no_unit_is_made_and_none_is_lost(waiting: list[Wish], free: dict[str, int]) -> None:
    changes, left = shared(waiting, free, NOW_MS)

    before, after = Counter(free), Counter(left)
    changed = {one.seq: one.gathered for one in changes}
    for one in waiting:
        before.update(one.gathered)
        after.update(changed.get(one.seq, one.gathered))
    assert +before == +after
    assert min(left.values()) >= 0
    assert all(one.gathered == waiting[one.seq].needs for one in changes if one.is_whole)


@given(st.lists(st.integers(1, 4), max_size=8), st.integers(0, 12))
def test_among_the_patient_nobody_is_overtaken(needs: list[int], free: int) -> None:
    waiting = [wish(seq, shoe=need) for seq, need in enumerate(needs)]

    given_whole = whole(shared(waiting, {"shoe": free}, NOW_MS)[0])

    assert given_whole == list(range(len(given_whole)))


@given(wishes(), st.fixed_dictionaries({sku: st.integers(0, 9) for sku in SKUS}))
def test_sharing_again_changes_nothing(waiting: list[Wish], free: dict[str, int]) -> None:
    changes, left = shared(waiting, free, NOW_MS)
    by_seq = {one.seq: one for one in changes}
    still = [
        Wish(
            one.seq,
            one.needs,
            change.gathered if change else one.gathered,
            change.since_ms if change else one.since_ms,
            PATIENCE_MS,
        )
        for one in waiting
        if not ((change := by_seq.get(one.seq)) and change.is_whole)
    ]

    again, _ = shared(still, left, NOW_MS)

    assert whole(again) == []
