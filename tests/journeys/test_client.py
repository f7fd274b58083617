"""A program that knows only the public API joins, waits, comes in and buys; and is refused where it must be."""

import json
import re
import secrets
from collections.abc import Callable

import pytest

from tests.http_shopper import OWN, Answer, HttpShopper, solve
from tests.whole_site import WholeSite, until

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

NewShopper = Callable[..., HttpShopper]


@pytest.fixture
def inside(line: WholeSite, new_shopper: NewShopper) -> HttpShopper:
    """Give a shopper who waited and came in."""
    shopper = new_shopper()
    shopper.join()
    line.ops("resume", {})
    shopper.wait_for_turn()
    return shopper


def is_problem(answer: Answer, status: int, kind: str) -> bool:
    """Check the whole shape of a problem document (RFC 9457)."""
    assert answer.status == status, answer
    assert answer.kind == kind, answer
    assert answer.body["status"] == status
    assert answer.body["title"]
    assert answer.body["detail"]
    assert answer.headers["cache-control"] == "no-store"
    if status in {425, 429, 503}:
        assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"]), answer
    return True


@pytest.mark.parametrize("as_app", [False, True], ids=["cookies", "authorization"])
def test_a_client_joins_waits_claims_and_buys(line: WholeSite, new_shopper: NewShopper, as_app: bool) -> None:
    shopper = new_shopper(as_app=as_app)
    assert is_problem(shopper.get("/drop/"), 503, "waiting")
    joined = shopper.join()
    assert joined.status == 201
    assert joined.body["state"] == "waiting"
    assert joined.body["place"] == 1
    status = shopper.get(f"{OWN}/queue/status")
    assert status.status == 200
    assert status.body["state"] == "waiting"
    assert set(status.body["wait_s"]) == {"low", "likely", "high"}
    assert status.body["next_poll_ms"] >= 200
    assert is_problem(shopper.claim(), 425, "not-called")
    line.ops("resume", {})

    admitted = shopper.wait_for_turn()

    assert admitted.body["state"] == "admitted"
    assert admitted.body["return_to"] == "/drop/"
    held = shopper.reserve()
    assert held.status == 201, held
    assert held.body["status"] == "held"
    assert held.body["total"] == {"amount": 14900, "currency": "EUR"}
    placed = shopper.commit(held.body["reservation_id"])
    assert placed.status == 202, placed
    assert placed.body["status"] == "paying"
    assert placed.body["status_url"] == f"/checkout/orders/{placed.body['order_id']}"
    order = shopper.settled(placed.body["order_id"])
    assert order["status"] == "paid"
    assert order["reservation_id"] == held.body["reservation_id"]


def test_whoever_must_wait_is_told_where_to_go(line: WholeSite, new_shopper: NewShopper) -> None:
    shopper = new_shopper()

    told = shopper.get("/drop/").body

    assert told["challenge"] == f"{OWN}/challenge"
    assert told["queue"] == {name: f"{OWN}/queue/{name}" for name in ("register", "status", "claim", "leave")}
    assert shopper.get(told["pulse"]).status == 200


def test_a_second_solution_of_a_challenge_is_the_same_ticket(line: WholeSite, new_shopper: NewShopper) -> None:
    first, second, replay = new_shopper(), new_shopper(), new_shopper()
    challenge = first.pose()["challenge"]
    mine, other = solve(challenge), solve(challenge, first_nonce=1_000_000)
    assert mine != other

    answers = [first.register(challenge, mine), second.register(challenge, other), replay.register(challenge, mine)]

    assert [answer.status for answer in answers] == [201, 200, 200]
    assert len({answer.body["ticket_id"] for answer in answers}) == 1
    assert len({answer.body["score"] for answer in answers}) == 1
    until(lambda: line.ops()["waiting"] == 1)
    line.ops("resume", {})
    first.wait_for_turn()
    sessions = line.ops()["sessions"]
    second.wait_for_turn()
    assert line.ops()["sessions"] == sessions, "one ticket is one session, whoever holds it"
    assert first.reserve().status == 201
    assert is_problem(second.reserve(), 409, "limit-reached")


@pytest.mark.parametrize(
    ("challenge", "solution", "status"),
    [
        ("", "", 422),
        ("A" * 80, "AAAA", 403),
        ("x" * 79, "AAAA", 422),
        ("é" * 80, "AAAA", 422),
        ("A" * 600, "AAAA", 422),
    ],
)
def test_a_challenge_of_ones_own_making_is_refused(
    line: WholeSite, new_shopper: NewShopper, challenge: str, solution: str, status: int
) -> None:
    answer = new_shopper().register(challenge, solution)

    assert answer.status == status, answer
    assert answer.kind
    assert line.ops()["waiting"] == 0


def test_a_challenge_without_work_or_altered_is_refused(line: WholeSite, new_shopper: NewShopper) -> None:
    shopper = new_shopper()
    challenge = shopper.pose()["challenge"]
    altered = ("B" if challenge[-1] == "A" else "A").join([challenge[:-1], ""])

    assert is_problem(shopper.register(challenge, "A" * len(solve(challenge))), 422, "challenge-work")
    assert is_problem(shopper.register(altered, solve(challenge)), 403, "challenge-mac")
    assert line.ops()["waiting"] == 0


def test_without_a_pass_nobody_reserves(line: WholeSite, new_shopper: NewShopper) -> None:
    stranger = new_shopper()
    assert is_problem(stranger.reserve(), 503, "waiting")
    stranger.join()
    assert is_problem(stranger.reserve(), 503, "waiting"), "a ticket is no pass"

    round_the_back = new_shopper(line.till_url)
    assert is_problem(round_the_back.reserve(), 403, "no-pass")
    round_the_back.as_app, round_the_back.token = True, stranger.token
    assert is_problem(round_the_back.reserve(), 403, "no-pass")
    assert is_problem(round_the_back.get("/checkout/orders/x"), 403, "no-pass")


def test_a_pass_header_of_ones_own_is_not_believed(inside: HttpShopper, site: WholeSite) -> None:
    stranger = HttpShopper(site.till_url)
    stranger.cookies = dict(inside.cookies)

    assert is_problem(stranger.reserve(), 403, "no-pass"), "the shopper's own pass is not the one for the till"
    stranger.close()


def test_a_second_purchase_is_over_the_limit(inside: HttpShopper) -> None:
    assert inside.buy()["status"] == "paid"

    assert is_problem(inside.reserve(), 409, "limit-reached")
    assert is_problem(inside.reserve("rare"), 409, "limit-reached"), "the limit counts the whole sale"


def test_the_same_idempotency_key_is_the_same_answer(inside: HttpShopper) -> None:
    key = secrets.token_hex(8)
    first, again = inside.reserve(key=key), inside.reserve(key=key)
    assert first.status == again.status == 201
    assert first.body == again.body
    assert is_problem(inside.reserve(qty=2, key=key), 422, "idempotency-key-reused")

    rid, pay_key = first.body["reservation_id"], secrets.token_hex(8)
    paying, paying_again = inside.commit(rid, key=pay_key), inside.commit(rid, key=pay_key)
    assert paying.status == paying_again.status == 202
    assert paying.body == paying_again.body
    assert is_problem(inside.commit(rid, "card_slow", key=pay_key), 422, "idempotency-key-reused")
    order = inside.settled(paying.body["order_id"])
    assert (order["status"], order["attempts"]) == ("paid", 1)


def test_a_key_must_be_given(inside: HttpShopper) -> None:
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}

    assert inside.post("/checkout/reserve", body).status == 400
    assert inside.post("/checkout/commit", {"reservation_id": "x", "payment": {}}).status in {400, 422}


def test_who_lets_go_gives_back(inside: HttpShopper, site: WholeSite) -> None:
    before = site.stock("rare")
    held = inside.reserve("rare").body["reservation_id"]
    until(lambda: site.stock("rare") == (before or 0) - 1)

    cancelled = inside.post("/checkout/cancel", {"reservation_id": held})

    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert inside.post("/checkout/cancel", {"reservation_id": held}).status == 200, "twice is once"
    until(lambda: site.stock("rare") == before)
    assert is_problem(inside.commit(held), 410, "hold-expired")
    assert inside.reserve().status == 201, "and the limit is free again"


def test_a_declined_card_can_be_followed_by_another(inside: HttpShopper) -> None:
    rid = inside.reserve().body["reservation_id"]
    declined = inside.settled(inside.commit(rid, "card_declined").body["order_id"])
    assert (declined["status"], declined["can_retry"]) == ("declined", True)

    paid = inside.settled(inside.commit(rid, "card_3ds").body["order_id"])

    assert paid["status"] == "paid"


@pytest.mark.parametrize("qty", [0, -1, 10**9, 10**30, 1.5, "1", None, True])
def test_an_odd_quantity_is_refused(inside: HttpShopper, qty: object) -> None:
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": qty}]}

    answer = inside.post("/checkout/reserve", body, key=secrets.token_hex(8))

    assert answer.status in {409, 422}, answer
    assert answer.kind in {"invalid-body", "limit-reached"}


def test_what_does_not_exist_is_not_found(inside: HttpShopper) -> None:
    def asked(sale: str, sku: str) -> Answer:
        body = {"sale": sale, "lines": [{"sku": sku, "qty": 1}]}
        return inside.post("/checkout/reserve", body, key=secrets.token_hex(8))

    assert is_problem(asked("drop", "unicorn"), 404, "unknown-sku")
    assert is_problem(asked("other", "sneaker"), 404, "unknown-sale")
    assert is_problem(inside.get("/sales/other"), 404, "unknown-sale")
    assert is_problem(inside.get("/checkout/orders/none"), 404, "not-found")
    assert inside.get("/.waitroom/nowhere/pulse").status == 404
    assert inside.get("/.waitroom/nowhere/pulse").kind


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b'{"sale": "drop"}'])
@pytest.mark.parametrize("path", ["/checkout/reserve", f"{OWN}/queue/register"])
def test_what_is_no_order_is_a_problem_and_no_fault(inside: HttpShopper, path: str, raw: bytes) -> None:
    answer = inside.call("POST", path, raw=raw, key=secrets.token_hex(8))

    assert answer.status in {400, 422}, answer
    assert answer.kind
    assert json.dumps(answer.body).count("Traceback") == 0


def test_somebody_elses_order_is_nobodys_business(line: WholeSite, new_shopper: NewShopper) -> None:
    owner, stranger = new_shopper(), new_shopper()
    owner.join()
    stranger.join()
    line.ops("resume", {})
    owner.wait_for_turn()
    stranger.wait_for_turn()
    rid = owner.reserve().body["reservation_id"]

    assert is_problem(stranger.commit(rid), 404, "not-found")
    assert is_problem(stranger.post("/checkout/cancel", {"reservation_id": rid}), 404, "not-found")
    order = owner.settled(owner.commit(rid).body["order_id"])
    assert is_problem(stranger.get(f"/checkout/orders/{order['order_id']}"), 404, "not-found")


def test_who_leaves_has_no_place_any_more(line: WholeSite, new_shopper: NewShopper) -> None:
    shopper = new_shopper()
    shopper.join()

    assert shopper.post(f"{OWN}/queue/leave").status == 204
    assert shopper.post(f"{OWN}/queue/leave").status == 204
    assert is_problem(shopper.get(f"{OWN}/queue/status"), 404, "no-ticket")
    assert line.ops()["waiting"] == 0


def test_a_pulse_is_cacheable_and_cheap_to_ask_again(site: WholeSite, new_shopper: NewShopper) -> None:
    answer = new_shopper().get(f"{OWN}/pulse")

    assert answer.headers["cache-control"] == "public, max-age=1"
    assert answer.headers["etag"]
    assert "set-cookie" not in answer.headers
    assert set(answer.body) >= {"room", "event", "generation", "phase", "server_ms", "lanes", "rate_per_minute", "poll"}
