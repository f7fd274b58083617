"""The way in and out of the console, with a browser's headers."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from waitroom.console.guard import COOKIE, SECURE_COOKIE
from waitroom.console.sign_ins import Role

Client = TestClient[web.Request, web.Application]
SAME = {"Sec-Fetch-Site": "same-origin"}


async def sign_in(client: Client, token: str, **headers: str) -> web.Response:
    form = {"token": token, "name": "Ada"}
    return await client.post("/login", data=form, headers={**SAME, **headers}, allow_redirects=False)  # type: ignore[return-value]  # read alike


async def test_the_console_sends_a_stranger_to_the_form(client: Client) -> None:
    answer = await client.get("/")

    text = await answer.text()
    assert (answer.status, answer.url.path) == (200, "/login")
    assert 'name="token"' in text
    assert 'type="password"' in text


async def test_the_right_token_opens_the_console_with_a_cookie_nobody_else_can_use(
    client: Client, tokens: dict[Role, str]
) -> None:
    answer = await sign_in(client, f" {tokens[Role.OPERATOR]} ")

    cookie = answer.headers["Set-Cookie"]
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert (await client.get("/")).url.path == "/"
    assert (await client.get("/login")).url.path == "/"


async def test_behind_tls_the_cookie_is_secure(client: Client, tokens: dict[Role, str]) -> None:
    answer = await sign_in(client, tokens[Role.OPERATOR], **{"X-Forwarded-Proto": "https"})

    assert answer.headers["Set-Cookie"].startswith(f"{SECURE_COOKIE}=")
    assert "Secure" in answer.headers["Set-Cookie"]


async def test_a_wrong_token_is_refused_on_the_form_with_what_to_do(client: Client) -> None:
    answer = await client.post("/login", data={"token": "wrong", "name": '"><b>Ada'}, headers=SAME)

    text = await answer.text()
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers
    assert "That is not the console token" in text
    assert "<b>Ada" not in text


async def test_guessing_is_answered_429_with_the_time_to_wait(client: Client) -> None:
    for _ in range(5):
        assert (await client.post("/login", data={"token": "wrong"}, headers=SAME)).status == 403

    answer = await client.post("/login", data={"token": "wrong"}, headers=SAME)

    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 403), (b"token=\xff\xfe", 403), (b"%%%&&==", 403), (b"token=" + b"x" * 5000, 413)],
)
async def test_odd_forms_are_refused_and_nothing_breaks(body: bytes, status: int, client: Client) -> None:
    headers = {**SAME, "Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    other = {**SAME, "Content-Type": "multipart/form-data; charset=nonsense"}

    assert (await client.post("/login", data=body, headers=headers)).status == status
    assert (await client.post("/login", data=body, headers=other)).status in {403, 415}


async def test_a_form_of_another_site_signs_nobody_in(client: Client, tokens: dict[Role, str]) -> None:
    answer = await sign_in(client, tokens[Role.OPERATOR], **{"Sec-Fetch-Site": "cross-site"})

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


async def test_signing_out_ends_it_also_for_who_kept_the_cookie(client: Client, tokens: dict[Role, str]) -> None:
    cookie = (await sign_in(client, tokens[Role.OPERATOR])).headers["Set-Cookie"].partition(";")[0]

    answer = await client.post("/logout", headers=SAME, allow_redirects=False)

    client.session.cookie_jar.clear()
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert (await client.get("/", headers={"Cookie": cookie})).url.path == "/login"
