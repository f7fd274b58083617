"""Who buys, on the store's word: read strictly, counted in the ledger, whatever passes an account comes with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.identities import IDENTITY_VARIABLE, Identities, secrets_of
from tests.bookkeeping import books
from tests.fakes import FakeClock
from tests.identity import SECRET, signed, word
from tests.till import Answer, Shop, config, gateway, shop
from waitroom.kernel.errors import ConfigFault, Refused

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000


def test_an_account_has_one_name_in_the_ledger_that_does_not_tell_it() -> None:
    identities = Identities([SECRET])
    name = identities.read(word(), "alice", NOW_MS)

    assert name == identities.read(word(ends_s=NOW_S + 1, iat=NOW_S, aud="till"), "alice", NOW_MS)
    assert name == Identities([b"the-next-secret-of-32-bytes-long....", SECRET]).read(word(), "alice", NOW_MS)
    assert name != identities.read(word("eve"), "alice", NOW_MS)
    assert "ada" not in name
    assert len(name) <= 80


@pytest.mark.parametrize(("starts_s", "ends_s"), [(0, NOW_S - 4), (NOW_S + 5, NOW_S + 60)])
def test_clocks_may_differ_a_little(starts_s: int, ends_s: int) -> None:
    assert Identities([SECRET]).read(word(ends_s=ends_s, nbf=starts_s), "alice", NOW_MS)


@pytest.mark.parametrize("asked", [None, 2])
def test_a_secret_is_needed_where_a_sale_asks(tmp_path: Path, asked: int | None) -> None:
    file = tmp_path / "identity"
    file.write_text("short")
    file.chmod(0o600)
    chosen = config(tmp_path, "", tables={"secrets": {"identity_file": str(file)}}, limit_per_identity=asked)

    assert secrets_of(chosen, {IDENTITY_VARIABLE: f"{SECRET.decode()},{SECRET.decode()}2"} if asked else {}) == (
        [SECRET, SECRET + b"2"] if asked else []
    )
    if asked:
        with pytest.raises(ConfigFault, match=r"identity_file.*drop has a limit_per_identity"):
            secrets_of(chosen, {})
        file.write_text(SECRET.decode())
        assert secrets_of(chosen, {}) == [SECRET]
        with pytest.raises(ConfigFault, match=IDENTITY_VARIABLE):
            secrets_of(
                chosen.model_copy(update={"secrets": chosen.secrets.model_copy(update={"identity_file": None})}), {}
            )


@pytest.fixture
async def drop(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """Give a till where an account may have two units, and a pass three."""
    monkeypatch.setenv(IDENTITY_VARIABLE, SECRET.decode())
    limits = {"limit_per_shopper": 3, "limit_per_identity": 2}
    async with gateway() as url, shop(config(tmp_path, redis_url, url, **limits)) as found:
        yield found


async def reserve(drop: Shop, name: str, account: str, qty: int = 1, key: str = "k") -> Answer:
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": qty}], "identity": word(account, name)}
    return await drop.shopper(name).post("/checkout/reserve", body, key)


async def test_an_account_has_its_limit_whatever_passes_it_comes_with(drop: Shop) -> None:
    first = await reserve(drop, "phone", "ada")
    assert (first.status, (await reserve(drop, "laptop", "ada")).status) == (201, 201)

    refused = await reserve(drop, "tablet", "ada")
    assert (refused.status, refused.kind, refused.body["limit_per_identity"]) == (409, "limit-reached", 2)
    assert (await reserve(drop, "tablet", "bob", 2)).status == 201, "another account on that pass"
    assert (await reserve(drop, "tablet", "eve", 2, "more")).kind == "limit-reached", "and the pass has its own"
    assert await drop.available() == 6

    assert (await drop.shopper("phone").cancel(first.body["reservation_id"])).status == 200
    assert (await reserve(drop, "fresh", "ada")).status == 201, "what is given back may be had again"
    assert (await books(drop.till.jobs.ledger)).allocated["sneaker"] == 4


async def test_what_was_bought_counts_for_ever_and_what_ran_out_does_not(drop: Shop) -> None:
    paid = await reserve(drop, "phone", "ada", 2)
    phone = drop.shopper("phone")
    placed = await phone.commit(paid.body["reservation_id"])
    assert (await phone.settled(placed.body["order_id"]))["status"] == "paid"

    assert (await reserve(drop, "laptop", "ada")).kind == "limit-reached"
    late = drop.shopper("slow")
    held = await reserve(drop, "slow", "bob", 2)
    declined = await late.commit(held.body["reservation_id"], "card_declined")
    await late.settled(declined.body["order_id"], "declined")
    assert (await late.cancel(held.body["reservation_id"])).status == 200
    assert (await reserve(drop, "other", "bob", 2)).status == 201
    await books(drop.till.jobs.ledger)


async def test_a_fresh_word_under_the_same_key_is_the_same_request(drop: Shop) -> None:
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}
    first, again = [
        await drop.shopper().post("/checkout/reserve", body | {"identity": word(ends_s=ends_s)}, "k")
        for ends_s in (3e9, 4e9)
    ]

    assert (again.status, again.body, again.headers["Idempotent-Replayed"]) == (201, first.body, "true")


async def test_a_sale_that_does_not_ask_takes_no_notice(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}], "identity": "anything"}
        assert (await drop.shopper().post("/checkout/reserve", body, "k")).status == 201


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("", "identity-missing"),
        ("a.b.c", "identity-refused"),
        (word(session="bob"), "identity-refused"),
        (word(ends_s=NOW_S - 5), "identity-refused"),
        (word(nbf=NOW_S + 6), "identity-refused"),
        (signed({"alg": "HS256"}, {"sub": "ada", "sid": "alice", "exp": 4e9}, SECRET + b"?"), "identity-refused"),
    ],
)
def test_what_is_not_the_stores_word_is_refused(token: str, kind: str, clock: FakeClock) -> None:
    with pytest.raises(Refused) as refused:
        Identities([SECRET]).read(token, "alice", clock.now_ms())
    assert (refused.value.status, refused.value.kind) == (403, kind)
