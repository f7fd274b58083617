"""Pose challenges and give places to plain requests at once; whatever takes more is left to the other doors.

Every step is theirs (`gate/joining.py`), and every answer has their bytes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from waitroom.gate.joining import Joining, Solution, refuse_foreign_origin
from waitroom.gate.line import Line
from waitroom.gate.problem_pages import is_person
from waitroom.kernel.answers import note, parsed
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.prepared import json_on_the_wire, problem_on_the_wire
from waitroom.kernel.tokens import Ticket
from waitroom.rules.heads import Head
from waitroom.rules.hosts import AllowedHosts
from waitroom.store.places import place_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What Redis was asked for a visitor.

    Once the `reply` has come, `answer` makes bytes of it, told whether they are the last of their connection; None
    where the others have to ask again.
    """

    reply: asyncio.Future[Any]
    answer: Callable[[bool], bytes | None]


class JoinPrompt:
    """What a crowd asks for before it is in line."""

    def __init__(self, line: Line, joining: Joining, hosts: AllowedHosts, clock: Clock) -> None:
        """Take the steps of `joining`, for `hosts` only."""
        self._line = line
        self._joining = joining
        self._hosts = hosts
        self._clock = clock
        self._challenges = _below(line.rooms.names(), "challenge")
        self._registers = _below(line.rooms.names(), "queue/register")

    def answer(self, head: Head, body: bytes, peer: str) -> bytes | Asked | None:
        """Return the answer to a plain POST from the address `peer`, or what Redis was asked for it.

        None: ask the others; nothing was done yet.
        """
        posing = self._challenges.get(head.target)
        room = posing or self._registers.get(head.target)
        if room is None or is_person(head) or not self._hosts.has(head.fields.host):
            return None
        try:
            refuse_foreign_origin(head)
            if posing is None:
                return self._register(head, body, room)
            posed = self._joining.posed(room, self._joining.address(head, peer))
            return json_on_the_wire(posed, self._now_s())
        except WaitroomError as fault:
            return self._refused(fault)

    def _register(self, head: Head, body: bytes, room: str) -> Asked | None:
        """Ask Redis for a place; who was invited, or has a ticket, is for the others."""
        headers = head.headers
        if headers.get("Content-Type", "").lower() != "application/json" or "Content-Encoding" in headers:
            return None
        if "Cookie" in headers and self._has_come_before(head, room):
            return None
        sent = parsed(body, Solution)
        if sent.invite:
            return None
        ticket = self._joining.earned(room, sent)
        reply = self._line.begin_to_present(ticket)
        return Asked(reply, partial(self._placed, ticket, reply))

    def _has_come_before(self, head: Head, room: str) -> bool:
        return self._line.cookies.invite(head, room) is not None or self._line.held_ticket(head, room) is not None

    def _placed(self, ticket: Ticket, reply: asyncio.Future[Any], is_last: bool) -> bytes | None:
        try:
            place = place_of(reply.result())
            if place is None:
                return None
            presented = self._line.presented(ticket, place)
        except WaitroomError as fault:
            return self._refused(fault, is_last=is_last)
        status, told = self._joining.joined(presented)
        cookies = [self._line.ticket_cookie(presented)]
        return json_on_the_wire(told, self._now_s(), status=status, cookies=cookies, is_last=is_last)

    def _refused(self, fault: WaitroomError, *, is_last: bool = False) -> bytes:
        note(fault)
        return problem_on_the_wire(fault, self._now_s(), is_last=is_last)

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _below(rooms: Sequence[str], name: str) -> dict[str, str]:
    return {f"/.waitroom/{room}/{name}": room for room in rooms}
