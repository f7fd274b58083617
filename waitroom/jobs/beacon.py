"""Fetch the round of the public beacon that turns a draw, from whichever of its servers answers first."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence

from aiohttp import ClientError, ClientSession, ClientTimeout

from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.rules.beacons import Beacon, BeaconFault, BeaconKind, SpinSource, answered, check_chain
from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.draws import Draws
from waitroom.store.rooms import Rooms

log = logging.getLogger(__name__)

ASK_LIMIT_S = 3.0
"""How long one server may take: another one is asked at the same time, and all of them again a second later."""
_ANSWER_BYTES = 64 * 1024


class _Answered(Exception):
    """One server has answered: the others need not any more."""


class BeaconWatch:
    """Brings each draw its spin. Every worker asks; the first answer that is kept counts for all."""

    def __init__(self, rooms: Rooms, board: Board, draws: Draws, urls: Mapping[str, Sequence[str]]) -> None:
        """Ask the `urls` of each room when the `board` says that its draw waits."""
        self._rooms = rooms
        self._board = board
        self._draws = draws
        self._urls = dict(urls)
        self._tried: set[tuple[str, str]] = set()

    async def step(self) -> None:
        """Look at every room once: before an opening try the servers, after it fetch the round when it is due.

        Raises:
            UpstreamUnavailable: no server of a beacon gives an answer that can be used.
            StoreUnavailable: Redis does not answer.
        """
        faults = []
        waiting = [self._look(room) for room in self._rooms.names() if self._waits(room)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                faults.append(outcome)
        if faults:
            raise faults[0]

    def _waits(self, room: str) -> bool:
        rules, snapshot = self._rooms.rules(room), self._board.get(room)
        is_awaited = rules.draws and rules.beacon.kind is BeaconKind.DRAND
        return is_awaited and snapshot is not None and snapshot.starts_ms is not None and not snapshot.is_spun

    async def _look(self, room: str) -> None:
        beacon, snapshot = self._rooms.rules(room).beacon, self._board.get(room)
        assert snapshot is not None
        assert snapshot.starts_ms is not None
        if not snapshot.is_drawn:
            await self._try(room, snapshot)
        elif self._rooms.now_ms() >= beacon.due_ms(snapshot.starts_ms):
            source = await self._fetch(room, beacon, snapshot.starts_ms)
            told = {"who": "beacon", "value": f"round {source.round}", "why": f"chain {source.chain_hash}"}
            spun = await self._draws.spin(room, snapshot.event, source, **told)
            log.info("draw turned", extra={"room": room, "event": snapshot.event, "outcome": str(spun)})

    async def _try(self, room: str, snapshot: Snapshot) -> None:
        """Ask each server for its chain, once before the opening: a wrong setting is known while there is time."""
        if (room, snapshot.event) in self._tried:
            return
        self._tried.add((room, snapshot.event))
        async with _session() as session:
            for url in self._urls[room]:
                fault = await _fault_of(session, url, self._rooms.rules(room).beacon)
                if fault:
                    log.error("beacon not usable", extra={"room": room, "url": url, "reason": fault})

    async def _fetch(self, room: str, beacon: Beacon, starts_ms: int) -> SpinSource:
        """Return what the first server gives that has the right answer; the others are left."""
        found: list[SpinSource] = []
        faults: list[str] = []

        async def ask(session: ClientSession, url: str) -> None:
            try:
                await _check(session, url, beacon)
                path = f"{url}/{beacon.chain_hash}/public/{beacon.round_after(starts_ms)}"
                found.append(answered(beacon, starts_ms, await _json(session, path)))
            except BeaconFault as fault:
                faults.append(f"{url}: {fault}")
            else:
                raise _Answered

        try:
            async with _session() as session, asyncio.TaskGroup() as group:
                for url in self._urls[room]:
                    group.create_task(ask(session, url))
        except* _Answered:
            pass
        if not found:
            raise UpstreamUnavailable(f"the beacon of {room} gave no spin: {'; '.join(faults)}")
        return found[0]


def _session() -> ClientSession:
    return ClientSession(timeout=ClientTimeout(total=ASK_LIMIT_S), trust_env=False)


async def _check(session: ClientSession, url: str, beacon: Beacon) -> None:
    """Let a server say what chain it serves."""
    check_chain(beacon, await _json(session, f"{url}/{beacon.chain_hash}/info"))


async def _fault_of(session: ClientSession, url: str, beacon: Beacon) -> str:
    try:
        await _check(session, url, beacon)
    except BeaconFault as fault:
        return str(fault)
    return ""


async def _json(session: ClientSession, url: str) -> object:
    """Return what a server answers.

    Raises:
        BeaconFault: nothing, not in time, not JSON, or too much of it.
    """
    body = bytearray()
    try:
        async with session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer:
            if answer.status != 200:
                raise BeaconFault(f"status {answer.status}")
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _ANSWER_BYTES:
                    raise BeaconFault("more than a beacon ever says")
        return json.loads(body)
    except (ClientError, TimeoutError, OSError) as fault:
        raise BeaconFault(f"no answer: {type(fault).__name__}") from fault
    except ValueError as fault:  # not JSON, not UTF-8; a BeaconFault is one too
        raise fault if isinstance(fault, BeaconFault) else BeaconFault("not JSON") from fault
    except RecursionError as fault:
        raise BeaconFault("not JSON that anybody would write") from fault
