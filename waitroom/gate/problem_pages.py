"""Give people a page where a program gets a problem document: same status, same headers, calm words."""

import json
import secrets
from http import HTTPStatus

from aiohttp import web

from waitroom.gate.looks import Look, look
from waitroom.kernel.answers import Handler
from waitroom.kernel.asking import Asking
from waitroom.kernel.origins import came_from
from waitroom.kernel.pages import Pages, csp, nonce

_PROBLEM = "application/problem+json"
_OURS = "urn:waitroom:problem:"
_RETRY_S = 5
_JITTER_S = 5
"""A page that tries again by itself does so after 5 to 10 seconds, so that a crowd does not come back as one."""
_RETRIED = frozenset({502, 503, 504})
_HEADLINES = {
    400: "We did not understand that",
    403: "That did not work",
    404: "There is nothing here",
    429: "A little slower, please",
    502: "The shop is not answering",
    503: "One moment, please",
    504: "The shop is taking too long",
}
_KINDS = {
    "full": "The waiting room is full",
    "closed": "Closed at the moment",
}
"""Headlines of answers whose status says less than they know."""
_BODY_HEADERS = frozenset({"content-type", "content-length", "content-encoding"})


class ProblemPages:
    """The outermost middleware: it looks at what the others answered, and to whom."""

    def __init__(self, pages: Pages, site: Look | None = None) -> None:
        """Take the templates, and the look of pages that belong to no room."""
        self._pages = pages
        self._site = site or look("Waiting room")

    @web.middleware
    async def people_get_pages(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn a problem document of our own into a page, if a person is about to look at it."""
        answer = await handler(request)
        if isinstance(answer, web.Response) and answer.content_type == _PROBLEM:
            back = "" if request.method == "GET" else came_from(request) or "/"
            return self.told(answer, request, may_retry=request.method == "GET", again=back)
        return answer

    def told(self, answer: web.Response, request: Asking, *, may_retry: bool = True, again: str = "") -> web.Response:
        """Return a problem of ours as a page, if a person is about to look at it."""
        detail = _own_problem(answer) if is_person(request) else None
        return answer if detail is None else self.page(answer, detail, may_retry=may_retry, again=again)

    def page(self, answer: web.Response, detail: str, *, may_retry: bool, again: str = "") -> web.Response:
        """Return `answer` as a page that says `detail`; it asks again by itself where that `may_retry`.

        Its link leads to `again`, by default to the same address: a form's is none that can be opened.
        """
        mark = nonce()
        html = self._pages.render(
            "gate/problem.html",
            look=self._site,
            nonce=mark,
            status=answer.status,
            headline=_headline(answer),
            detail=detail,
            reference=None,
            again=again,
            retry_s=_retry_s(answer) if may_retry and answer.status in _RETRIED else None,
        )
        page = web.Response(status=answer.status, text=html, content_type="text/html")
        for name, value in answer.headers.items():
            if name.lower() not in _BODY_HEADERS:
                page.headers.add(name, value)
        page.headers["Content-Security-Policy"] = csp(mark)
        page.headers["Referrer-Policy"] = "same-origin"
        page.headers["X-Content-Type-Options"] = "nosniff"
        page.headers["Vary"] = "Accept, Sec-Fetch-Mode"
        return page


def is_person(request: Asking) -> bool:
    """Whether a person is about to look at the answer (Fetch Metadata; else by what is accepted)."""
    if "Sec-Fetch-Mode" in request.headers:
        return request.headers.get("Sec-Fetch-Mode", "") == "navigate"
    return "text/html" in request.headers.get("Accept", "")


def _own_problem(answer: web.Response) -> str | None:
    """Return the words for the visitor, if the document is ours and not one that the upstream sent."""
    try:
        document = json.loads(answer.body) if isinstance(answer.body, bytes) else None
    except ValueError:
        return None
    if not isinstance(document, dict) or not str(document.get("type", "")).startswith(_OURS):
        return None
    return str(document.get("detail", ""))


def _headline(answer: web.Response) -> str:
    kind = str(json.loads(answer.body).get("type", "")) if isinstance(answer.body, bytes) else ""
    told = _HEADLINES.get(answer.status, HTTPStatus(answer.status).phrase)
    return _KINDS.get(kind.removeprefix(_OURS), told)


def _retry_s(answer: web.Response) -> int:
    given = answer.headers.get("Retry-After", "")
    return max(_RETRY_S, int(given) if given.isdecimal() else 0) + secrets.randbelow(_JITTER_S + 1)
