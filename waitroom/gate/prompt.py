"""Answer plain requests at once, by what was made ahead of time; whatever takes more is left to the other doors.

Every answer is the one that those doors would give: it is made by the same parts, and only kept as bytes.
"""

from dataclasses import dataclass
from typing import assert_never
from urllib.parse import unquote

from waitroom.gate.events import head as stream_head
from waitroom.gate.forward_auth import OWN as AUTH
from waitroom.gate.front_prompt import FrontPrompt
from waitroom.gate.judge import Judge, is_navigation, must_wait
from waitroom.gate.problem_pages import ProblemPages, is_person
from waitroom.gate.pulses import Pulses
from waitroom.gate.ready import Memo, Ready, count, remember
from waitroom.gate.waiting_pages import WaitingPages
from waitroom.kernel.answers import problem
from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.prepared import on_the_wire
from waitroom.kernel.tokens import Pass
from waitroom.rules.heads import Head
from waitroom.rules.hosts import AllowedHosts
from waitroom.rules.outside import Ways
from waitroom.rules.verdicts import Enter, Forward, Refuse, Verdict, Wait, Welcome

_OWN = "/.waitroom/"
_MOST_PLACES, _LONGEST_PLACE = 4096, 512


@dataclass(frozen=True, slots=True)
class Places:
    """Which hosts are served, and which upstream gets what no room guards."""

    hosts: AllowedHosts
    ways: Ways


@dataclass(slots=True)
class Onward:
    """A request for the upstream of that name; `pass_` is None where nobody has to be admitted."""

    upstream: str
    room: str = ""
    pass_: Pass | None = None


@dataclass(slots=True)
class Follow:
    """A connection that shall be told the pulse of `room` from now on."""

    room: str


class Prompt:
    """What the gate knows without waiting for anything."""

    def __init__(
        self,
        judge: Judge,
        pulses: Pulses,
        pages: WaitingPages,
        problems: ProblemPages,
        fronts: FrontPrompt,
        places: Places,
    ) -> None:
        """Judge by `judge`; `places` says where what needs no verdict leads."""
        self._judge = judge
        self._line = judge.line
        self._pulses = {f"{_OWN}{room}/pulse": room for room in judge.line.rooms.names()}
        self._waits = {f"{_OWN}{room}/wait": room for room in judge.line.rooms.names()}
        self._events = {f"{_OWN}{room}/events": room for room in judge.line.rooms.names()}
        self._shared = pulses
        self._pages = pages
        self._fronts = fronts
        self._problems = problems
        self._ways = places.ways
        self._hosts = places.hosts
        self._places: dict[tuple[str, str], Onward] = {}
        self._verdicts: dict[tuple[str, bool], Verdict] = {}
        self._memos: tuple[Memo, Memo] = ({}, {})  # for everybody, for fronts
        self._refusals: dict[tuple[str, str, bool], tuple[int, bytes]] = {}

    def memo(self, peer: str) -> Memo:
        """Return the answers that are ready for whoever asks from the address `peer`; the same until `turn`."""
        return self._memos[self._fronts.is_front(peer)]

    def given(self, memo: Memo, asked: bytes, ready: Ready) -> bytes:
        """Return the bytes of an answer that is given out for the first time, and keep it for who asks the same."""
        if asked in memo:  # asked among others, so that nobody looked: it was counted, and makes room
            count(self._judge, [memo.pop(asked)])
        if not remember(memo, asked, ready):
            count(self._judge, [ready])
        return ready.answer

    async def turn(self) -> None:
        """Count what was given out, and forget it: rooms, passes and the time go on."""
        for memo in self._memos:
            count(self._judge, memo.values())
            memo.clear()
        self._verdicts.clear()

    def answer(self, head: Head, peer: str, now_ms: int) -> Ready | Onward | Follow | None:
        """Return the answer to a plain request from the address `peer`, or where it goes on; None: ask the others."""
        try:
            if head.target.startswith(AUTH):
                return self._fronts.answer(head, peer, now_ms)
            if not self._hosts.has(head.fields.host):
                return None
            if head.target.startswith(_OWN):
                return self._own(head, now_ms)
            return self._visit(head, now_ms)
        except WaitroomError:  # the others say why, in their own words
            return None

    def _own(self, head: Head, now_ms: int) -> Ready | Follow | None:
        """Answer a request for the pulse, its events, or the waiting page by its own address."""
        room = self._pulses.get(head.target)
        if room is not None:
            return Ready(self._shared.prepared(room).on_the_wire(head, now_ms // 1000, is_head=head.method == "HEAD"))
        room = self._events.get(head.target)
        if room is not None:
            return self._followed(head, room, now_ms)
        room = self._waits.get(head.target.partition("?")[0])
        if room is None or self._held(head, room) is not None:
            return None
        answer = self._queued(head, room, now_ms)
        return None if answer is None else Ready(answer)

    def _followed(self, head: Head, room: str, now_ms: int) -> Ready | Follow:
        if head.method == "GET":
            return Follow(room)
        self._shared.told(room)
        return Ready(stream_head(now_ms // 1000, is_alone=True))

    def _visit(self, head: Head, now_ms: int) -> Ready | Onward | None:
        """Answer a request for the store."""
        host, target = head.fields.host, head.target
        place = self._places.get((host, target)) or self._placed(host, target)
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
                return None if answer is None else Ready(answer, room, type(found))
            case Refuse():
                answer = self._refused(head, room, self._judge.refused(room), now_ms)
                return None if answer is None else Ready(answer, room, type(found))
            case Enter() | Welcome():
                return None
            case _:
                assert_never(found)

    def _placed(self, host: str, target: str) -> Onward | None:
        """Return where an address leads who may go there; None where the others have to look."""
        path = target.partition("?")[0]
        if "%" in path and unquote(path).startswith(_OWN[:-1]):
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
            return self._refused(head, room, must_wait(room), now_ms)
        ticket = self._line.held_ticket(head, room)
        if ticket is None:
            if "invite=" in unquote(head.target):
                return None
            try:
                self._line.refuse_if_full(room)
            except Refused as fault:
                return self._refused(head, room, fault, now_ms)
        elif ticket.is_slow:
            return None
        return self._pages.prepared(room).on_the_wire(head, now_ms // 1000, is_head=head.method == "HEAD")

    def _refused(self, head: Head, room: str, fault: Refused, now_ms: int) -> bytes | None:
        """Return a refusal as the others word it, the same to all for a second."""
        if head.method == "HEAD":
            return None
        asked, now_s = (room, fault.kind, is_person(head)), now_ms // 1000
        made = self._refusals.get(asked)
        if made is None or made[0] != now_s:
            answer = self._problems.told(problem(fault), head)
            made = self._refusals[asked] = now_s, on_the_wire(answer, now_s)
        return made[1]
