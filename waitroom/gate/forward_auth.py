"""The same verdict for somebody else's proxy: it asks about each request, and gets yes or no and what to pass on.

Each kind of front understands other answers, so each has an address of its own. Cookies are set where every front lets
them through, on our own pages: who may come in, or whose pass grows old, is sent to `/.waitroom/{room}/enter`.
"""

import logging
from collections.abc import Iterable, Sequence

from aiohttp import web

from waitroom.gate import counters
from waitroom.gate.front_verdicts import PASS, Allowed, FrontVerdicts, Sent, back, own_page
from waitroom.gate.judge import Judge, is_navigation
from waitroom.gate.misdirected import refuse_host
from waitroom.gate.problem_pages import ProblemPages, is_person
from waitroom.kernel.answers import NO_STORE, problem, see_other
from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.tokens import UpstreamPassSigner
from waitroom.rules.fronts import Asked, asked_by_headers, asked_by_path
from waitroom.rules.hosts import AllowedHosts
from waitroom.rules.return_paths import return_path
from waitroom.rules.verdicts import Forward, Refuse
from waitroom.rules.visitors import Network, is_trusted

log = logging.getLogger(__name__)

OWN = "/.waitroom/auth"
_ENVOY = f"{OWN}/envoy"


class ForwardAuth:
    """What fronts ask, and the page that they send visitors to for a pass."""

    def __init__(
        self,
        judge: Judge,
        problems: ProblemPages,
        passes: UpstreamPassSigner,
        *,
        trusted: Sequence[Network],
        public_origin: str,
        hosts: AllowedHosts,
    ) -> None:
        """Believe `trusted` fronts; shoppers come by `public_origin`, if that is known, and to `hosts` only."""
        self._judge = judge
        self._line = judge.line
        self.verdicts = FrontVerdicts(judge, public_origin)
        self._problems = problems
        self._passes = passes
        self._trusted = trusted
        self._hosts = hosts
        self._warned: set[str] = set()

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the addresses; a front may ask by any method."""
        return [
            web.route("*", f"{OWN}/nginx", self.nginx),
            web.route("*", f"{OWN}/refusal", self.refusal),
            web.route("*", f"{OWN}/redirect", self.redirect),
            web.route("*", f"{_ENVOY}{{target:(?s:.*)}}", self.envoy),
            web.post(f"{OWN}/revoke/{{room}}", self.revoke),
            web.get("/.waitroom/{room}/enter", self.enter),
        ]

    async def nginx(self, request: web.Request) -> web.StreamResponse:
        """Answer 204 or 401, for `auth_request` carries nothing else; 403 to what is no proper question."""
        try:
            asked = self._asked(request)
        except Refused as fault:
            answer = problem(fault)
            answer.set_status(403)
            return answer
        try:
            found = await self.verdicts.answer(request, asked)
        except WaitroomError:
            return web.Response(status=401, headers=NO_STORE)  # `refusal` says why
        return nginx_answer(found)

    async def refusal(self, request: web.Request) -> web.StreamResponse:
        """Say to the visitor why nginx got a 401, which carries no words of its own.

        Who could pass by now is sent to where they wanted, or asked to send it again.
        """
        asked = self._asked(request)
        try:
            found = await self.verdicts.answer(request, asked)
        except WaitroomError as fault:
            return self._told(request, asked, fault)
        if isinstance(found, Sent):
            return see_other(found.location)
        if is_navigation(asked.method, request.headers):
            return see_other(f"{self.verdicts.origin(asked)}{back(asked)}")
        return self._told(request, asked, Refused(503, "again", "Please send this again.", retry_after_s=1))

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        """Answer 200, 303 or a problem, for fronts that hand any refusal to the visitor."""
        asked = self._asked(request)
        try:
            found = await self.verdicts.answer(request, asked)
        except WaitroomError as fault:
            return self._told(request, asked, fault)
        return redirect_answer(found)

    async def envoy(self, request: web.Request) -> web.StreamResponse:
        """Answer 200, 303 or a problem below 500: Envoy takes anything above for a fault of the gate itself."""
        asked = self._asked(request, request.raw_path.removeprefix(_ENVOY))
        try:
            found = await self.verdicts.answer(request, asked)
        except WaitroomError as fault:
            return self._told(request, asked, _below_500(fault))
        answer = redirect_answer(found)
        if isinstance(found, Allowed) and not found.others:
            answer.headers["x-envoy-auth-headers-to-remove"] = "cookie"
        return answer

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Give a pass to who may have one, on a page of ours, and send them on.

        A new one goes by the waiting page: who keeps no cookies stays there, and does not go in circles.
        """
        room = self._line.rooms.rules(request.match_info["room"]).name
        wanted = return_path(request.query.get("return_to"))
        found = self._judge.in_room(request, room)
        if isinstance(found, Refuse):
            raise self._judge.refused(room)
        if isinstance(found, Forward):
            renewed = self._judge.visited(room, found.pass_) if found.pass_ else None
            return see_other(wanted, [renewed.cookie] if renewed else ())
        issued = await self._judge.let_in(request, room, found)
        return see_other(own_page(room, "wait", wanted), [issued.cookie] if issued else ())

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """End the session of the `Waitroom-Pass` that the store was shown: what `Waitroom-Command` does elsewhere.

        Only the store has that header, and for a minute; with it nothing can be done but this.
        """
        room, shown = self._line.rooms.rules(request.match_info["room"]).name, request.headers.get(PASS, "")
        await self._line.end(self._passes.verify(shown, room=room, now_ms=self._line.rooms.now_ms()))
        return web.Response(status=204, headers=NO_STORE)

    def _asked(self, request: web.Request, target: str | None = None) -> Asked:
        """Return what the front asks about.

        Raises:
            Refused: 403 to whom we take no questions from, 4xx to what is none; nobody is admitted.
        """
        try:
            self._refuse_stranger(request)
            headers: dict[str, list[str]] = {}
            for name, value in request.headers.items():
                headers.setdefault(name.lower(), []).append(value)
            if target is None:
                asked = asked_by_headers(headers)
            else:
                asked = asked_by_path(headers, request.method, request.headers.get("Host", ""), target)
            refuse_host(self._hosts, asked.host)
        except Refused as fault:
            self._note(fault)
            raise
        return asked

    def _refuse_stranger(self, request: web.Request) -> None:
        if not request.raw_path.startswith(f"{OWN}/"):  # %61uth: past a front that keeps outsiders from here
            raise Refused(404, "not-found", "There is nothing at this address.")
        if not is_trusted(request.remote or "", self._trusted):
            raise Refused(403, "untrusted-front", "Only proxies named in edge.trusted_proxies may ask here.")

    def _note(self, fault: Refused) -> None:
        """Tell the operator once of each thing that is wrong with their front: nobody may fill the log."""
        counters.FRONT_REFUSALS.labels(fault.kind).inc()
        if fault.kind not in self._warned:
            self._warned.add(fault.kind)
            log.warning("forward auth refused", extra={"kind": fault.kind, "reason": fault.public})

    def _told(self, request: web.Request, asked: Asked, fault: WaitroomError) -> web.Response:
        answer = problem(fault)
        if not is_person(request):
            return answer
        return self._problems.page(answer, fault.public, may_retry=asked.method == "GET")


def nginx_answer(found: Allowed | Sent) -> web.Response:
    """Return a verdict as `auth_request` can carry it: 204, or 401 with a Location."""
    if isinstance(found, Allowed):
        return web.Response(status=204, headers=found.headers)
    return web.Response(status=401, headers={"Location": found.location, **NO_STORE})


def redirect_answer(found: Allowed | Sent) -> web.Response:
    """Return a verdict for fronts that hand any refusal to the visitor: 200 or 303."""
    return see_other(found.location) if isinstance(found, Sent) else web.Response(headers=found.headers)


def _below_500(fault: WaitroomError) -> WaitroomError:
    if fault.status < 500:
        return fault
    return Refused(429, fault.kind, fault.public, retry_after_s=fault.retry_after_s or 1, extra=fault.extra)
