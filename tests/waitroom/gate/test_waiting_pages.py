"""The waiting page as it is handed out."""

from tests.edges import HTML, Store, front
from tests.fakes import FakeClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys


async def test_it_is_the_same_bytes_for_a_minute_then_has_a_new_nonce(
    redis: ScriptRunner, keys: Keys, store: Store, clock: FakeClock
) -> None:
    async with front(redis, keys, store, clock=clock, opens_in_s=60) as shop:
        first = await (await shop.get("/.waitroom/drop/wait", headers=HTML)).text()
        again = await (await shop.get("/.waitroom/drop/wait", headers=HTML)).text()
        await clock.advance(61)
        later = await (await shop.get("/.waitroom/drop/wait", headers=HTML)).text()

    assert first == again
    assert first != later


async def test_it_is_made_anew_before_it_is_too_old(
    redis: ScriptRunner, keys: Keys, store: Store, clock: FakeClock
) -> None:
    async with front(redis, keys, store, clock=clock, opens_in_s=60) as shop:
        await shop.edge.pages.renew()
        first = shop.edge.pages.prepared("drop")
        await shop.edge.pages.renew()
        assert shop.edge.pages.prepared("drop") is first, "it is young"
        await clock.advance(40)
        await shop.edge.pages.renew()

        second = shop.edge.pages.prepared("drop")
        await clock.advance(50)
        assert second is not first
        assert shop.edge.pages.prepared("drop") is second, "nobody had to wait for it"


async def test_it_fits_in_fourteen_kilobytes(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        for encoding in ("br", "zstd", "gzip"):
            answer = await shop.get("/drop/", headers={**HTML, "Accept-Encoding": encoding})

            assert answer.headers["Content-Encoding"] == encoding
            assert int(answer.headers["Content-Length"]) <= 14 * 1024
