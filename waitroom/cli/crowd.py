"""`waitroom _crowd`: a synthetic crowd before a room of ours; `waitroom demo` starts it.

It comes over HTTP as everybody does, and each member says as a trusted proxy would from which address it comes. One
thing is made easy for it: a few hundred browsers have a few hundred processors, and we have one, so the crowd, which
holds the secret of the room, signs the challenges it was given anew with less work in them (`lightened`).
"""

import argparse
import asyncio
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from waitroom.cli import Commands
from waitroom.cli.serve import reached_at
from waitroom.cli.visitors.member import Errand, Fate, Member
from waitroom.cli.visitors.nature import Nature, nature
from waitroom.cli.visitors.site import Site
from waitroom.config import Room, read
from waitroom.kernel import logs
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.settings import read_secrets
from waitroom.rules.challenges import MIN_DIFFICULTY, ChallengeKeys, Terms, pose, solve
from waitroom.rules.challenges import read as read_challenge
from waitroom.rules.posing import challenge_keys, event_text

log = logging.getLogger(__name__)

_NICENESS = 10
_CONNECTIONS = 48
_CALL_LIMIT_S = 20.0
_EARLY = 0.8
"""So many come before the opening; the rest come late."""
_LATE_S = 45.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes, for what, and when the doors open (ms since 1970)."""

    origin: str
    errand: Errand
    members: int
    seed: bytes
    opens_ms: int

    async def come(self, clock: Clock) -> Counter[Fate]:
        """Let all of them come, each in its time, and return how they fared."""
        before_s = max(0.0, (self.opens_ms - clock.now_ms()) / 1000)
        limits = aiohttp.TCPConnector(limit=_CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=_CALL_LIMIT_S)
        jar = aiohttp.DummyCookieJar()  # each member has cookies of its own
        fates: Counter[Fate] = Counter()
        async with (
            aiohttp.ClientSession(connector=limits, cookie_jar=jar, timeout=timeout) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self.members):
                group.create_task(self._one(nature(self.seed, number), before_s, client, fates, clock))
        return fates

    async def _one(
        self, is_like: Nature, before_s: float, client: aiohttp.ClientSession, fates: Counter[Fate], clock: Clock
    ) -> None:
        await clock.sleep(arrival_s(is_like.arrives, before_s))
        chance = secrets.SystemRandom().random
        site = Site(client, clock, origin=self.origin, address=is_like.address, chance=chance)
        fate = await Member(is_like, self.errand, site, clock, chance=chance).live()
        fates[fate] += 1
        log.debug("member went", extra={"fate": fate.value})


def arrival_s(arrives: float, before_s: float) -> float:
    """Return when a member comes, in seconds from now: most before the opening, the rest in the time after it."""
    if arrives < _EARLY:
        return arrives / _EARLY * before_s * 0.9
    return before_s + (arrives - _EARLY) / (1 - _EARLY) * _LATE_S


def lightened(challenge: str, keys: ChallengeKeys, event: str) -> str:
    """Return `challenge` with the least work in it, signed anew; it stands for the same ticket as before."""
    posed = read_challenge(challenge)
    return pose(
        keys,
        event=event,
        client_tag=posed.client_tag,
        terms=Terms(posed.steps, MIN_DIFFICULTY, posed.ttl_s),
        now_ms=posed.issued_ms,
        challenge_id=posed.challenge_id,
    )


def solver(keys: ChallengeKeys, event: str) -> Callable[[str], tuple[str, str]]:
    """Return what turns a challenge into the one to send and its solution, in about 2 ms."""

    def solved(challenge: str) -> tuple[str, str]:
        light = lightened(challenge, keys, event)
        return light, solve(light)

    return solved


def add(commands: Commands) -> None:
    """Tell argparse of the command that the demo gives."""
    parser = commands.add_parser("_crowd")
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--members", type=int, required=True, metavar="N")
    parser.add_argument("--page", required=True, metavar="PATH")
    parser.add_argument("--sku", required=True, metavar="NAME")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Come, shop, and say how it went."""
    os.nice(_NICENESS)  # whoever looks at the demo goes first
    config = read(asked.config, os.environ)
    logs.setup(config.logs.level, as_json=config.logs.as_json)
    keys = read_secrets(os.environ, config.secrets.file)
    room = config.rooms[0]
    event = room.events[0]
    crowd = Crowd(
        origin=reached_at(config),
        errand=_errand(asked, room, solver(challenge_keys(keys), event_text(room.name, event.name))),
        members=asked.members,
        seed=secrets.token_bytes(16),
        opens_ms=event.event_start_time_ms,
    )
    fates = asyncio.run(crowd.come(SystemClock()))
    log.info("the crowd is through", extra={fate.value.replace(" ", "_"): count for fate, count in fates.items()})
    return 0


def _errand(asked: argparse.Namespace, room: Room, solved: Callable[[str], tuple[str, str]]) -> Errand:
    return Errand(room=room.name, page=asked.page, sale=room.name, sku=asked.sku, solve=solved)
