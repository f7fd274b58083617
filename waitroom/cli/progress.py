"""How a sale goes, in the terminal: a few lines that stay where they are, or one line now and then in a log."""

from dataclasses import dataclass

import aiohttp
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from waitroom.kernel import logs
from waitroom.kernel.clock import Clock

_CALL_LIMIT_S = 3.0
_PERIOD_S = 0.5
_LINE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Figures:
    """A room and its sale at one instant."""

    phase: str
    opens_in_s: float
    waiting: int
    called: int  # and on their way in
    inside: int
    admitted: int
    taken: int  # sold, or held by somebody who is paying
    total: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Where the figures come from: the console's API, and what the shop tells everybody."""

    shop: str
    console: str
    token: str
    room: str
    sale: str

    async def look(self, client: aiohttp.ClientSession) -> Figures | None:
        """Return the figures of now, or None where one of the two does not answer."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        try:
            async with client.get(f"{self.console}/api/rooms/{self.room}", headers=bearer) as answer:
                answer.raise_for_status()
                room = await answer.json()
            async with client.get(f"{self.shop}/sales/{self.sale}") as answer:
                answer.raise_for_status()
                sale = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        left_ms = (room["starts_ms"] or 0) - room["now_ms"]
        return Figures(
            phase=room["phase"],
            opens_in_s=max(0.0, left_ms / 1000),
            waiting=room["waiting"],
            called=room["outstanding"],
            inside=room["sessions"],
            admitted=room["admitted"],
            taken=sum(line["total"] - line["available"] for line in sale["skus"]),
            total=sum(line["total"] for line in sale["skus"]),
        )

    async def show(self, clock: Clock, console: Console) -> None:
        """Show how it goes until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_CALL_LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            if console.is_terminal:
                await self._show_live(client, clock, console)
            else:
                await self._show_lines(client, clock, console)

    async def _show_live(self, client: aiohttp.ClientSession, clock: Clock, console: Console) -> None:
        try:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                logs.setup("WARNING")  # standard error is rich's meanwhile, so that warnings appear above
                while True:
                    live.update(drawn(await self.look(client)), refresh=True)
                    await clock.sleep(_PERIOD_S)
        finally:
            logs.setup("WARNING")

    async def _show_lines(self, client: aiohttp.ClientSession, clock: Clock, console: Console) -> None:
        said, said_s = "", float("-inf")
        phase = ""
        while True:
            figures = await self.look(client)
            line = told(figures)
            is_due = clock.tick_s() - said_s >= _LINE_EVERY_S or (figures is not None and figures.phase != phase)
            if line != said and is_due:
                console.print(line, highlight=False, soft_wrap=True)
                said, said_s = line, clock.tick_s()
                phase = figures.phase if figures else phase
            await clock.sleep(_PERIOD_S)


def told(figures: Figures | None) -> str:
    """Return the figures as one line."""
    if figures is None:
        return "no answer right now"
    opens = f", opens in {figures.opens_in_s:.0f} s" if figures.phase == "prequeue" else ""
    return (
        f"{figures.phase}{opens}: {figures.waiting} waiting, {figures.called} called, {figures.inside} inside, "
        f"{figures.admitted} admitted, {figures.taken} of {figures.total} sold or held"
    )


def drawn(figures: Figures | None) -> RenderableType:
    """Return the figures as a few lines for a terminal."""
    if figures is None:
        return Text("no answer right now", style="yellow")
    opens = f"  opens in {figures.opens_in_s:.0f} s" if figures.phase == "prequeue" else ""
    head = Text.assemble((figures.phase, "bold green" if figures.phase == "open" else "bold"), opens)
    row = Table.grid(padding=(0, 3))
    row.add_row(
        *(
            Text.assemble((f"{count:>5} ", "bold"), (word, "dim"))
            for word, count in (
                ("waiting", figures.waiting),
                ("called", figures.called),
                ("inside", figures.inside),
                ("admitted", figures.admitted),
            )
        )
    )
    stock = Table.grid(padding=(0, 2))
    share = ProgressBar(total=max(figures.total, 1), completed=figures.taken, width=40)
    stock.add_row(share, Text(f"{figures.taken} of {figures.total} sold or held"))
    return Group(Text(), head, row, stock)
