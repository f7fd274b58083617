"""Answers that are ready, by the bytes that ask for them: bounded, and counted."""

from collections import Counter
from typing import cast

from waitroom.gate.judge import Judge
from waitroom.gate.ready import Memo, Ready, count, remember
from waitroom.rules.verdicts import Forward, Verdict, Wait


class Counting(Judge):
    """A judge of whom only the counting is asked."""

    def __init__(self) -> None:
        self._given = Counter[tuple[str, type[Verdict]]]()


def test_what_is_kept_is_bounded_in_number_and_length() -> None:
    memo: Memo = {}

    assert remember(memo, b"x" * 2048, Ready(b""))
    assert not remember(memo, b"x" * 2049, Ready(b""))
    assert sum(remember(memo, b"%d" % number, Ready(b"")) for number in range(5000)) == 2047
    assert len(memo) == 2048


def test_each_time_is_counted_and_what_is_no_verdict_is_not() -> None:
    judge = Counting()

    count(judge, [Ready(b"", "a", Wait, times=3), Ready(b"", "a", Forward), Ready(b"", "b", Wait), Ready(b"pulse")])

    assert cast(object, judge._given) == {("a", Wait): 3, ("a", Forward): 1, ("b", Wait): 1}
