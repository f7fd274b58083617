"""What operators change while a sale runs; every change is written down with who and why."""

from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from waitroom.console.guard import Guard, Operator
from waitroom.console.recorder import Recorder
from waitroom.console.sign_ins import Role
from waitroom.kernel.answers import json_answer, read_json
from waitroom.kernel.errors import Refused
from waitroom.rules.lanes import PRIORITY
from waitroom.rules.rooms import Change, ChangeKind

MESSAGE_LENGTH = 280
WHY_LENGTH = 300
SPIN_LENGTH = 200
MOST = 100_000_000


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


Line = Annotated[str, AfterValidator(_one_line)]


class _Asked(BaseModel):
    """What every change may say: why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    why: Line = Field("", max_length=WHY_LENGTH)


class AskedRate(_Asked):
    """A new rate."""

    per_minute: float = Field(gt=0, le=MOST, allow_inf_nan=False)
    force: bool = False


class AskedCap(_Asked):
    """A new cap."""

    total_active_users: int = Field(ge=0, le=MOST)


class AskedMessage(_Asked):
    """What the waiting page says; an empty text takes it away."""

    text: Line = Field(max_length=MESSAGE_LENGTH)


class AskedTime(_Asked):
    """How long something holds."""

    for_s: float = Field(ge=1, le=24 * 3600, allow_inf_nan=False)


class AskedSpin(_Asked):
    """What turns a draw, as a witness has seen it."""

    value: Line = Field(min_length=1, max_length=SPIN_LENGTH)


class AskedSession(_Asked):
    """Which session."""

    session: Line = Field(min_length=1, max_length=64)


class AskedInvites(_Asked):
    """Codes that let visitors stand in lane priority."""

    event: str = Field(min_length=1, max_length=64)
    count: int = Field(1, ge=1, le=1000)
    uses: int = Field(1, ge=0, le=100_000)
    for_s: float = Field(ge=60, le=366 * 24 * 3600, allow_inf_nan=False)


class AskedPlain(_Asked):
    """A change that needs no value."""


Asked = TypeVar("Asked", bound=_Asked)
_HINTS: dict[type[_Asked], str] = {
    AskedRate: 'Send {"per_minute": 600}: a number above 0. To admit nobody, pause the room.',
    AskedCap: f'Send {{"total_active_users": 500}}: a whole number from 0 to {MOST}.',
    AskedMessage: f'Send {{"text": "…"}} of at most {MESSAGE_LENGTH} characters; an empty one takes the message away.',
    AskedTime: 'Send {"for_s": 600}: for how many seconds, from 1 to 86400.',
    AskedSpin: f'Send {{"value": "…"}} of at most {SPIN_LENGTH} characters: what was drawn before a witness.',
    AskedSession: 'Send {"session": "…"}: the session id, as the verified Waitroom-Pass has it.',
    AskedInvites: 'Send {"event": "opening", "count": 100, "uses": 1, "for_s": 86400}; uses 0 is any number of times.',
    AskedPlain: 'Send nothing, or {"why": "…"}.',
}


class Actions:
    """The changing half of the console."""

    def __init__(self, recorder: Recorder, guard: Guard) -> None:
        """Take where changes go, and who may make them."""
        self._recorder = recorder
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        """Return the paths that change a room."""
        handlers = {
            "rate": self.rate,
            "cap": self.cap,
            "message": self.message,
            "pause": self.pause,
            "resume": self.resume,
            "end": self.end,
            "spin": self.spin,
            "sold-out": self.sold_out,
            "close": self.close,
            "open-all": self.open_all,
            "revoke-all": self.revoke_all,
            "revoke": self.revoke,
            "invite": self.invite,
        }
        return [
            web.post(f"/api/rooms/{{room}}/{what}", self._guard.needs(Role.OPERATOR, handler))
            for what, handler in handlers.items()
        ]

    async def rate(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Set how many are admitted a minute."""
        asked = await _read(request, AskedRate)
        change = Change(ChangeKind.RATE, _number(asked.per_minute), is_forced=asked.force)
        return await self._change(request, operator, change, asked.why)

    async def cap(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Set how many may be inside at the same time."""
        asked = await _read(request, AskedCap)
        return await self._change(request, operator, Change(ChangeKind.CAP, str(asked.total_active_users)), asked.why)

    async def message(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Set what the waiting page says."""
        asked = await _read(request, AskedMessage)
        return await self._change(request, operator, Change(ChangeKind.MESSAGE, asked.text), asked.why)

    async def pause(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Call nobody until the room is resumed."""
        return await self._plain(request, operator, ChangeKind.PAUSE)

    async def resume(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Go on calling, after a pause or an end."""
        return await self._plain(request, operator, ChangeKind.RESUME)

    async def end(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """End the event for everybody who waits."""
        return await self._plain(request, operator, ChangeKind.END)

    async def sold_out(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Say that all is sold; everybody keeps their place until a resume."""
        return await self._plain(request, operator, ChangeKind.SOLD_OUT)

    async def close(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Refuse everybody, with a pass or without, until a resume."""
        return await self._plain(request, operator, ChangeKind.CLOSE)

    async def open_all(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Let everybody through for a while, whatever the limits say."""
        asked = await _read(request, AskedTime)
        change = Change(ChangeKind.OPEN_ALL, str(round(asked.for_s * 1000)))
        return await self._change(request, operator, change, asked.why)

    async def revoke_all(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """End every session: who is inside waits again."""
        return await self._plain(request, operator, ChangeKind.REVOKE_ALL)

    async def revoke(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """End one session: its pass is worth nothing any more."""
        asked = await _read(request, AskedSession)
        return await self._change(request, operator, Change(ChangeKind.REVOKE, asked.session), asked.why)

    async def spin(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Turn the draw by what was drawn before a witness; once, after the opening."""
        asked = await _read(request, AskedSpin)
        return await self._change(request, operator, Change(ChangeKind.SPIN, asked.value), asked.why)

    async def invite(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Make codes for lane priority; the audit has how many, never the codes."""
        asked = await _read(request, AskedInvites)
        name = self._recorder.require(request.match_info["room"])
        codes = await self._recorder.invite(name, asked.event, asked.count, asked.uses, asked.for_s)
        each = f"{asked.uses} use(s) each" if asked.uses else "any number of uses"
        told = f"{asked.count} for lane {PRIORITY} in {asked.event}, {each}, for {asked.for_s:g} s"
        await self._recorder.change(name, Change(ChangeKind.INVITE, told), who=operator.who, why=asked.why)
        return json_answer({**self._recorder.room(name), "codes": codes})

    async def _plain(self, request: web.Request, operator: Operator, kind: ChangeKind) -> web.StreamResponse:
        asked = await _read(request, AskedPlain) if request.can_read_body else AskedPlain()
        return await self._change(request, operator, Change(kind), asked.why)

    async def _change(self, request: web.Request, operator: Operator, change: Change, why: str) -> web.StreamResponse:
        name = self._recorder.require(request.match_info["room"])
        await self._recorder.change(name, change, who=operator.who, why=why)
        return json_answer(self._recorder.room(name))


async def _read(request: web.Request, model: type[Asked]) -> Asked:
    try:
        return await read_json(request, model)
    except Refused as refused:
        if refused.kind != "invalid-body":
            raise
        raise Refused(422, "invalid-body", _HINTS[model], extra=refused.extra) from None


def _number(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
