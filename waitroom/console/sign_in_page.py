"""The page where a person shows the console token, and the way out."""

from aiohttp import web

from waitroom.console.guard import COOKIE, SECURE_COOKIE, Guard, require_own_page, tidy_name
from waitroom.console.page_headers import page
from waitroom.console.sign_ins import LIFETIME_MS
from waitroom.kernel.answers import read_form
from waitroom.kernel.errors import Refused
from waitroom.kernel.pages import Pages

_LIMIT_BYTES = 4096


class SignInPage:
    """`/login` and `/logout`."""

    def __init__(self, guard: Guard, pages: Pages) -> None:
        """Take who decides, and who renders."""
        self._guard = guard
        self._pages = pages

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, or go on to the console who is in already."""
        if self._guard.identify(request):
            return _go("/")
        return self._form()

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Open the console for who sent the right token; a refusal shows the form again, with what to do."""
        require_own_page(request)
        form = await read_form(request, max_bytes=_LIMIT_BYTES)
        try:
            text = self._guard.sign_in(request, form.get("token", "").strip(), form.get("name", ""))
        except Refused as refused:
            return self._form(refused, name=tidy_name(form.get("name", "")))
        answer = _go("/")
        is_https = _is_https(request)
        answer.set_cookie(
            SECURE_COOKIE if is_https else COOKIE,
            text,
            max_age=LIFETIME_MS // 1000,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=is_https,
        )
        return answer

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """End the sign-in of this browser."""
        require_own_page(request)
        self._guard.sign_out(request)
        answer = _go("/login")
        answer.del_cookie(COOKIE, path="/")
        answer.del_cookie(SECURE_COOKIE, path="/", secure=True)
        return answer

    def _form(self, refused: Refused | None = None, name: str = "") -> web.Response:
        told = refused.public if refused else ""
        answer = page(self._pages, "console/sign_in.html", refusal=told, name=name)
        if refused:
            answer.set_status(refused.status)
            if refused.retry_after_s:
                answer.headers["Retry-After"] = str(refused.retry_after_s)
        return answer


def _go(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def _is_https(request: web.Request) -> bool:
    """Whether the browser came by https; who lies here about it only makes their own cookie stricter."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
