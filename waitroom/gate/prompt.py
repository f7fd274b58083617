"""Answer plain requests at once, by what was made ahead of time; whatever takes more is left to the other doors.

Every answer is the one that those doors would give: it is made by the same parts, and only kept as bytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from waitroom.gate.forward_auth import OWN as AUTH
from waitroom.gate.front_prompt import FrontPrompt
from waitroom.gate.judge import Judge, is_navigation, must_wait
from waitroom.gate.pulses import Pulses
from waitroom.gate.ready import Memo, Ready, count, remember
from waitroom.gate.waiting_pages import WaitingPages
from waitroom.kernel.answers import problem
from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.prepared import on_the_wire
from waitroom.kernel.tokens import Pass
from waitroom.rules.heads import Head
from waitroom.rules.hosts import AllowedHosts
from waitroom.rules.outside import Ways
from waitroom.rules.verdicts import Enter, Forward, Refuse, Verdict, Wait, Welcome

_OWN = "/.waitroom/"
_REMEMBERED = 1024
_MOST_PLACES, _LONGEST_PLACE = 4096, 512


@dataclass(slots=True)
class Onward:
    """A request for the upstream of that name; `pass_` is None where nobody has to be admitted."""

    upstream: str
    room: str = ""
    pass_: Pass | None = None


class Prompt:
    """What the gate knows without waiting for anything."""

    def __init__(
        self,
        judge: Judge,
        pulses: Pulses,
        pages: WaitingPages,
        fronts: FrontPrompt,
        ways: Ways,
        hosts: AllowedHosts,
    ) -> None:
        """Judge by `judge`, and answer for `hosts` only."""
        self._judge = judge
        self._line = judge.line
        self._pulses = {f"{_OWN}{room}/pulse": room for room in judge.line.rooms.names()}
        self._prepared = pulses.prepared
        self._pages = pages
        self._fronts = fronts
        self._ways = ways
        self._hosts = hosts
        self._places: dict[tuple[str, str], Onward | None] = {}
        self._verdicts: dict[tuple[str, bool], Verdict] = {}
        self._memos: tuple[Memo, Memo] = ({}, {})  # for everybody, for fronts
        self._waits = lru_cache(_REMEMBERED)(_waits)

    def memo(self, peer: str) -> Memo:
        """Return the answers that are ready for whoever asks from the address `peer`; the same until `turn`."""
        return self._memos[self._fronts.is_front(peer)]

    def given(self, memo: Memo, asked: bytes, ready: Ready) -> bytes:
        """Return the bytes of an answer that is given out for the first time, and keep it for who asks the same."""
        if not remember(memo, asked, ready):
            count(self._judge, [ready])
        return ready.answer

    async def turn(self) -> None:
        """Count what was given out, and forget it: rooms, passes and the time go on."""
        for memo in self._memos:
            count(self._judge, memo.values())
            memo.clear()
        self._verdicts.clear()

    def answer(self, head: Head, peer: str, now_ms: int) -> Ready | Onward | None:
        """Return the answer to a plain request from the address `peer`, or where it goes on; None: ask the others."""
        try:
            if head.target.startswith(AUTH):
                return self._fronts.answer(head, peer, now_ms)
            if not self._hosts.has(head.fields.host):
                return None
            if head.target.startswith(_OWN):
                return self._pulse(head, now_ms)
            return self._visit(head, now_ms)
        except WaitroomError:  # the others say why, in their own words
            return None

    def _pulse(self, head: Head, now_ms: int) -> Ready | None:
        room = self._pulses.get(head.target)
        if room is None:
            return None
        return Ready(self._prepared(room).on_the_wire(head, now_ms // 1000, is_head=head.method == "HEAD"))

    def _visit(self, head: Head, now_ms: int) -> Ready | Onward | None:
        """Answer a request for the store."""
        address = head.fields.host, head.target
        place = self._places[address] if address in self._places else self._placed(*address)
        if place is None or not place.room:
            return place
        room, pass_ = place.room, self._held(head, place.room)
        kind = room, pass_ is not None
        found = self._verdicts.get(kind)
        if found is None:
            found = self._verdicts[kind] = self._judge.for_holder(room, pass_)
        match found:
            case Forward(None):
                return place
            case Forward():
                return Onward(place.upstream, room, pass_)
            case Wait():
                answer = self._queued(head, room, now_ms)
                return None if answer is None else Ready(answer, room, found)
            case Enter() | Welcome() | Refuse():
                return None
            case _:
                assert_never(found)

    def _placed(self, host: str, target: str) -> Onward | None:
        """Return where an address leads who may go there; None where the others have to look."""
        path = target.partition("?")[0]
        if "%" in path:
            return None  # %2ewaitroom is an own address in disguise
        route = self._judge.routes.match(host, path)
        if route is None:
            guarded = self._judge.routes.upstream(host, path)  # exempt, but of that room's store
            place = Onward(guarded or self._ways.upstream(host, path))
        else:
            place = Onward(route.upstream, route.room)
        if len(host) + len(target) <= _LONGEST_PLACE:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            self._places[host, target] = place
        return place

    def _held(self, head: Head, room: str) -> Pass | None:
        """Return the valid pass in the fields of a request; what was read in them before is only looked at again."""
        before = head.fields.passes.get(room)
        if isinstance(before, Pass) and self._line.still_holds(before, self._line.rooms.now_ms()):
            return before
        found = self._line.held_pass(head, room)
        if found is not None:
            head.fields.passes[room] = found
        return found

    def _queued(self, head: Head, room: str, now_ms: int) -> bytes | None:
        """Answer somebody who has to wait."""
        if not is_navigation(head.method, head.headers):
            return self._waits(room, now_ms // 1000, head.method == "HEAD")
        ticket = self._line.held_ticket(head, room)
        if ticket is None:
            if "invite=" in head.target:
                return None
            self._line.refuse_if_full(room)
        elif ticket.is_slow:
            return None
        return self._pages.prepared(room).on_the_wire(head, now_ms // 1000, is_head=head.method == "HEAD")


def _waits(room: str, now_s: int, is_head: bool) -> bytes:
    return on_the_wire(problem(must_wait(room)), now_s, is_head=is_head)
