"""The shop's pages: a sale by plain forms, the same guard and the same answers as the API."""

import asyncio
import re
from pathlib import Path

from aiohttp import ClientResponse

from tests.till import Shop, config, gateway, shop

EVIL = '"><script>alert(1)</script>'


async def page(till: Shop, path: str, name: str = "alice") -> ClientResponse:
    headers = till.shopper(name).headers()
    answer = await till.session.get(till.url + path, headers=headers, allow_redirects=False)
    await answer.read()
    return answer


async def form(till: Shop, path: str, name: str = "alice", **fields: str) -> ClientResponse:
    headers = till.shopper(name).headers()
    answer = await till.session.post(till.url + path, data=fields, headers=headers, allow_redirects=False)
    await answer.read()
    return answer


def key_in(html: str, sku: str = "") -> str:
    found = re.search(rf'name="key" value="([^"]+{sku})"', html)
    assert found is not None, html
    return found[1]


async def test_a_shopper_buys_with_nothing_but_forms(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as paid_at, shop(config(tmp_path, redis_url, paid_at)) as till:
        product = await (await page(till, "/drop/")).text()
        reserved = await form(till, "/drop/reserve", sku="sneaker", key=key_in(product, "sneaker"))
        checkout = await (await page(till, reserved.headers["Location"])).text()
        path = reserved.headers["Location"]
        paying = await form(till, f"{path}/pay", method="card_ok", key=key_in(checkout))
        async with asyncio.timeout(60):
            while "It is yours" not in (receipt := await (await page(till, paying.headers["Location"])).text()):
                await asyncio.sleep(0.05)

    assert "€129.00" in product
    assert reserved.status == paying.status == 303
    assert "data-left-ms" in checkout
    assert "Paid" in receipt


async def test_a_second_click_is_the_same_hold(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        key = key_in(await (await page(till, "/drop/")).text(), "sneaker")
        places = {(await form(till, "/drop/reserve", sku="sneaker", key=key)).headers["Location"] for _ in range(3)}

        assert len(places) == 1
        assert await till.available() == 9


async def test_a_declined_card_leads_back_to_another(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as paid_at, shop(config(tmp_path, redis_url, paid_at)) as till:
        reserved = await form(till, "/drop/reserve", sku="sneaker", key="k")
        path = reserved.headers["Location"]
        paying = await form(till, f"{path}/pay", method="card_declined", key="p")
        async with asyncio.timeout(60):
            while "declined" not in (told := await (await page(till, paying.headers["Location"])).text()):
                await asyncio.sleep(0.05)
        again = await page(till, path)

    assert f'href="{path}"' in told
    assert again.status == 200


async def test_who_lets_go_gives_the_unit_back(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        reserved = await form(till, "/drop/reserve", sku="sneaker", key="k")
        gone = await form(till, f"{reserved.headers['Location']}/cancel")
        after = await page(till, reserved.headers["Location"])

        assert gone.headers["Location"] == "/drop/"
        assert after.status == 410
        assert "Time is up" in await after.text()
        assert await till.available() == 10


async def test_who_holds_one_or_has_an_order_finds_the_way_back(tmp_path: Path, redis_url: str) -> None:
    async def product(name: str = "alice", hold: str = "") -> str:
        headers = till.shopper(name).headers() | {"Cookie": f"shop_hold={hold}"}
        async with till.session.get(f"{till.url}/drop/", headers=headers) as answer:
            assert answer.status == 200
            return await answer.text()

    async with gateway() as paid_at, shop(config(tmp_path, redis_url, paid_at, limit_per_shopper=1)) as till:
        checkout = (await form(till, "/drop/reserve", sku="sneaker", key="k")).headers["Location"]
        cookie = (await page(till, checkout)).cookies["shop_hold"]
        held, others, rubbish = (
            await product(hold=cookie.value),
            await product("bob", cookie.value),
            await product(hold=EVIL),
        )
        order = (await form(till, f"{checkout}/pay", method="card_ok", key="p")).headers["Location"]
        ordered = await product(hold=cookie.value)
        second = (await form(till, "/drop/reserve", "bob", sku="sneaker", key="k")).headers["Location"]
        theirs = (await page(till, second, "bob")).cookies["shop_hold"].value
        await form(till, f"{second}/cancel", "bob")
        let_go = await product("bob", theirs)

    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/drop/", True, "Lax")
    assert f'href="{checkout}"' in held and "Go on and pay" in held
    assert f'href="{order}"' in ordered and "See your order" in ordered
    assert not [html for html in (others, rubbish, let_go) if "What is yours" in html]
    assert EVIL not in rubbish


async def test_a_mistyped_address_is_a_page_and_that_of_a_button_leads_to_the_product(
    tmp_path: Path, redis_url: str
) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        buttons = ("reserve", "leave", "waitlist/leave", "checkout/x/pay", "checkout/x/cancel")
        led = [await page(till, f"/drop/{button}") for button in buttons]
        lost = [await page(till, f"/drop/{path}") for path in ("nothing", "orders/1", "checkout/%00", "a/b/c")]
        programs = await page(till, "/nothing")
        posted = await form(till, "/drop/nothing")

        assert {(answer.status, answer.headers.get("Location")) for answer in led} == {(303, "/drop/")}
        assert {(answer.status, answer.content_type) for answer in lost} == {(404, "text/html")}
        assert "There is nothing here" in await lost[0].text()
        assert (programs.status, programs.content_type) == (404, "application/problem+json")
        assert posted.status == 405


async def test_the_store_frees_the_place_of_who_leaves(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        answer = await form(till, "/drop/leave")

        assert answer.headers["Waitroom-Command"] == "revoke"
        assert "Thank you" in await answer.text()


async def test_refusals_are_pages_with_the_right_status(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, limit_per_shopper=1)) as till:
        await form(till, "/drop/reserve", sku="sneaker", key="k")
        seen = {
            "limit": await form(till, "/drop/reserve", sku="sneaker", key="k2"),
            "sku": await form(till, "/drop/reserve", sku="nothing", key="k3"),
            "key": await form(till, "/drop/reserve", sku="sneaker"),
            "card": await form(till, "/drop/checkout/nothing/pay", method="gold", key="k4"),
            "hold": await page(till, "/drop/checkout/nothing"),
            "order": await page(till, "/drop/orders/nothing"),
        }

    assert {name: answer.status for name, answer in seen.items()} == {
        "limit": 409,
        "sku": 404,
        "key": 400,
        "card": 422,
        "hold": 404,
        "order": 404,
    }
    assert all(answer.content_type == "text/html" for answer in seen.values())


async def test_a_shopper_waits_is_offered_and_pays_with_nothing_but_forms(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as paid_at, shop(config(tmp_path, redis_url, paid_at, total=1)) as till:
        held = await till.shopper("owner").reserve()
        refused = await form(till, "/drop/reserve", sku="sneaker", key="k")
        joined = await form(till, "/drop/waitlist", sku="sneaker")
        waiting = await (await page(till, "/drop/waitlist")).text()
        assert await till.available() == 0  # the shop's numbers are read anew
        product = await (await page(till, "/drop/")).text()
        await till.shopper("owner").cancel(held.body["reservation_id"])
        async with asyncio.timeout(60):
            while "It is your turn" not in (offered := await (await page(till, "/drop/waitlist")).text()):
                await asyncio.sleep(0.05)
        path = re.search(r'href="(/drop/checkout/[^"]+)"', offered)
        assert path is not None, offered
        paying = await form(till, f"{path[1]}/pay", method="card_ok", key="p")
        async with asyncio.timeout(60):
            while "It is yours" not in await (await page(till, paying.headers["Location"])).text():
                await asyncio.sleep(0.05)
        afterwards = await page(till, "/drop/waitlist")

    assert (refused.status, 'action="/drop/waitlist"' in await refused.text()) == (409, True)
    assert joined.headers["Location"] == "/drop/waitlist"
    assert "You are next" in waiting
    assert 'http-equiv="refresh"' in waiting
    assert "You are on the waitlist" in product
    assert "data-left-ms" in offered
    assert afterwards.headers["Location"] == paying.headers["Location"]


async def test_who_leaves_the_waitlist_or_the_shop_waits_no_more(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=1)) as till:
        await till.shopper("owner").reserve()
        for leave in ("/drop/waitlist/leave", "/drop/leave"):
            await form(till, "/drop/waitlist", sku="sneaker")
            assert (await page(till, "/drop/waitlist")).status == 200
            await form(till, leave)
            assert (await page(till, "/drop/waitlist")).headers["Location"] == "/drop/"


async def test_an_offer_that_lapsed_leads_to_the_end_of_the_line(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=1, waitlist_offer="1s")) as till:
        held = await till.shopper("owner").reserve()
        await form(till, "/drop/waitlist", sku="sneaker")
        await till.shopper("ben").post("/sales/drop/waitlist", {"lines": [{"sku": "sneaker", "qty": 1}]})
        await till.shopper("owner").cancel(held.body["reservation_id"])
        async with asyncio.timeout(60):
            while "Your time was over" not in (told := await (await page(till, "/drop/waitlist")).text()):
                await asyncio.sleep(0.05)

    assert "Join the waitlist again" in told


async def test_a_list_that_takes_nobody_says_so_on_a_page(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=1, max_waitlist=1)) as till:
        early = await form(till, "/drop/waitlist", sku="sneaker")
        await till.shopper("owner").reserve()
        await form(till, "/drop/waitlist", "ben", sku="sneaker")
        full = await form(till, "/drop/waitlist", sku="sneaker")
        unknown = await form(till, "/drop/waitlist", sku=EVIL)

    assert (early.status, "There are some again" in await early.text()) == (409, True)
    assert (full.status, "The waitlist is full" in await full.text()) == (409, True)
    assert (unknown.status, EVIL in await unknown.text()) == (404, False)


async def test_nobody_sees_or_pays_the_hold_of_another(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        path = (await form(till, "/drop/reserve", sku="sneaker", key="k")).headers["Location"]

        assert (await page(till, path, "mallory")).status == 404
        assert (await form(till, f"{path}/pay", "mallory", method="card_ok", key="k")).status == 404
        assert (await form(till, f"{path}/cancel", "mallory")).status == 404


async def test_without_a_pass_every_page_says_where_to_go(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        for path in ("/drop/", "/drop/checkout/x", "/drop/orders/x"):
            async with till.session.get(till.url + path) as answer:
                assert answer.status == 403
                assert "waiting room" in await answer.text()


async def test_a_form_of_another_site_does_nothing(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        headers = till.shopper().headers() | {"Origin": "https://evil.example"}
        data = {"sku": "sneaker", "key": "k"}
        for path in ("/drop/reserve", "/drop/waitlist", "/drop/waitlist/leave"):
            async with till.session.post(till.url + path, data=data, headers=headers) as answer:
                assert answer.status == 403
        assert await till.available() == 10


async def test_the_bare_address_leads_to_the_sale(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        for path in ("/", "/drop"):
            assert (await page(till, path)).headers["Location"] == "/drop/"


async def test_pages_run_only_what_is_ours_and_no_cache_keeps_them(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url)) as till:
        answer = await page(till, "/drop/")

        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "onclick" not in await answer.text()
