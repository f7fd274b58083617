"""What every page and answer of the console carries, so that no other site can frame, read or keep it."""

from aiohttp import web

from waitroom.kernel.answers import NO_STORE, Handler
from waitroom.kernel.pages import Pages, csp, nonce

# Referrer-Policy is same-origin, not no-referrer: the latter makes browsers send "Origin: null" with our own forms.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


def page(pages: Pages, template: str, **values: object) -> web.Response:
    """Return a page whose scripts and styles run by a nonce of its own."""
    mark = nonce()
    text = pages.render(template, nonce=mark, **values)
    headers = {"Content-Security-Policy": csp(mark), **NO_STORE}
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)


@web.middleware
async def closed_to_others(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the headers to every answer that has not begun yet."""
    answer = await handler(request)
    if not answer.prepared:
        answer.headers.update(_HEADERS)
    return answer
