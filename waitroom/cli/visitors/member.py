"""One synthetic visitor, and its way through queue and shop.

It does over HTTP what the waiting page and the shop's pages do in a browser, and nothing else.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from waitroom.cli.visitors.nature import Intent, Nature
from waitroom.cli.visitors.place import Place
from waitroom.cli.visitors.site import Answer, GaveUp, Site
from waitroom.kernel.clock import Clock


class Fate(StrEnum):
    """How the way of a member ended."""

    BOUGHT = "bought"
    DECLINED = "declined"
    SOLD_OUT = "sold out"
    LOOKED = "looked only"
    ABANDONED = "let the hold run out"
    NO_SHOW = "did not come when called"
    TURNED_AWAY = "turned away"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class Errand:
    """What everybody in the crowd comes for, and how a challenge is solved."""

    room: str
    page: str
    sale: str
    sku: str
    solve: Callable[[str], tuple[str, str]]  # a challenge -> what to send: a challenge and its solution


class Member:
    """A visitor who joins, waits, comes in, shops and goes."""

    def __init__(
        self, nature: Nature, errand: Errand, site: Site, clock: Clock, *, chance: Callable[[], float]
    ) -> None:
        """Stand outside; `live` begins."""
        self._nature = nature
        self._errand = errand
        self._site = site
        self._clock = clock
        self._chance = chance
        self._base = f"/.waitroom/{errand.room}"

    async def live(self) -> Fate:
        """Go the whole way."""
        try:
            await self._site.page(self._errand.page)
            if not self._has_pass():
                fate = await self._wait()
                if fate is not None:
                    return fate
            return await self._shop()
        except GaveUp:
            return Fate.GAVE_UP

    # ---- In line

    async def _wait(self) -> Fate | None:
        """Return None once inside."""
        joined = await self._join()
        if joined is None:
            return Fate.TURNED_AWAY
        place = Place(joined)
        while True:
            pulse = await self._pulse(place)
            if pulse.get("phase") in {"ended", "sold_out"}:
                return Fate.SOLD_OUT
            pause_s = place.next_poll_s(pulse, self._chance())
            if place.is_called(pulse):
                if self._nature.intent is Intent.NO_SHOW:
                    return Fate.NO_SHOW
                claimed = await self._site.ask("POST", f"{self._base}/queue/claim", body={})
                if claimed.status != 425:
                    return None if claimed.status == 200 else Fate.TURNED_AWAY
                pause_s = claimed.retry_after_s * (1 + 0.2 * self._chance())
            await self._clock.sleep(pause_s)

    async def _pulse(self, place: Place) -> Mapping[str, Any]:
        pulse = (await self._site.ask("GET", f"{self._base}/pulse")).data
        if place.is_of_earlier_life(pulse):
            await self._site.ask("GET", f"{self._base}/queue/status")  # puts the ticket back where it was
        return pulse

    async def _join(self) -> Answer | None:
        posed = await self._site.ask("POST", f"{self._base}/challenge")
        if "challenge" not in posed.data:
            return None
        challenge, solution = self._errand.solve(posed.get("challenge"))
        sent = {"challenge": challenge, "solution": solution}
        joined = await self._site.ask("POST", f"{self._base}/queue/register", body=sent)
        return joined if joined.status in {200, 201} else None

    def _has_pass(self) -> bool:
        return any(name.endswith("_pass") for name in self._site.cookies)

    # ---- Inside

    async def _shop(self) -> Fate:
        await self._site.page(self._errand.page)
        await self._click()
        if self._nature.intent is Intent.LOOK:
            fate = Fate.LOOKED
        else:
            fate = await self._buy()
        if self._nature.says_goodbye and fate is not Fate.ABANDONED:
            await self._site.ask("POST", f"{self._base}/queue/leave", body={})
        return fate

    async def _buy(self) -> Fate:
        wanted = {"sale": self._errand.sale, "lines": [{"sku": self._errand.sku, "qty": 1}]}
        held = await self._post("/checkout/reserve", wanted)
        if held.status != 201:
            return Fate.SOLD_OUT if held.status == 409 else Fate.TURNED_AWAY
        await self._click()
        if self._nature.intent is Intent.ABANDON:
            return Fate.ABANDONED
        status = await self._pay(held.get("reservation_id"), self._nature.card)
        if status == "declined":  # another card, as people do
            await self._click()
            status = await self._pay(held.get("reservation_id"), "card_ok")
        return Fate.BOUGHT if status == "paid" else Fate.DECLINED

    async def _pay(self, reservation_id: str, card: str) -> str:
        payment = {"provider": "simulated", "method": card}
        paying = await self._post("/checkout/commit", {"reservation_id": reservation_id, "payment": payment})
        if paying.status != 202:
            return "refused"
        for _ in range(60):
            order = await self._site.ask("GET", paying.get("status_url"))
            if order.get("status") != "paying":
                return str(order.get("status"))
            await self._clock.sleep(order.retry_after_s or 1.0)
        raise GaveUp("an order was neither paid nor refused within a minute")

    async def _post(self, path: str, body: Mapping[str, object]) -> Answer:
        return await self._site.ask("POST", path, body=body, headers={"Idempotency-Key": secrets.token_urlsafe(16)})

    async def _click(self) -> None:
        await self._clock.sleep(self._nature.pace_s * (0.5 + self._chance()))
