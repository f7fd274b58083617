"""What the till answers before aiohttp, and what it leaves to the views without having begun anything."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.door.prompt import OF_THE_TILL, Prompt
from tests.till import config
from tests.till_doors import TwoDoors, get, post, two_doors
from waitroom.rules.heads import ASKED, Head, plain_head

BODY = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'


@pytest.fixture
async def doors(tmp_path: Path, redis_url: str) -> AsyncIterator[TwoDoors]:
    async with two_doors(config(tmp_path, redis_url)) as found:
        yield found


def prompt_of(doors: TwoDoors) -> Prompt:
    assert doors.till.prompt is not None
    return doors.till.prompt


def head(asked: bytes) -> Head:
    found = plain_head(asked, None, ASKED, OF_THE_TILL)
    assert found is not None
    return found


async def test_a_sale_is_told_and_anything_else_is_not(doors: TwoDoors) -> None:
    prompt = prompt_of(doors)

    assert (prompt.look(head(get(b"/sales/drop"))) or b"").startswith(b"HTTP/1.1 200 OK\r\n")
    for target in (b"/sales/none", b"/sales/", b"/readyz", b"/sales/drop?x", b"/sales/dro%70"):
        assert prompt.look(head(get(target))) is None


async def test_what_is_not_known_to_be_json_is_left_to_the_views(doors: TwoDoors) -> None:
    shown = b"Waitroom-Pass: " + doors.shown(doors.hot)
    for lines in ([], [b"Content-Type: application/json; charset=utf-8"], [b"Content-Encoding: identity"]):
        asked = post(BODY, b"Host: shop.example", shown, b"Idempotency-Key: k", *lines)
        assert prompt_of(doors).reserve(head(asked), BODY) is None


async def test_who_has_no_pass_costs_no_look_at_what_they_want(doors: TwoDoors) -> None:
    asked = post(b"{", b"Host: shop.example", b"Content-Type: application/json")

    answer = prompt_of(doors).reserve(head(asked), b"{")
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_reserve_is_work_that_ends_with_its_answer(doors: TwoDoors) -> None:
    answers = []
    for _ in range(2):
        work = prompt_of(doors).reserve(head(doors.reserve(doors.hot)), BODY)
        assert work is not None
        assert not isinstance(work, bytes)
        answers.append(await work)

    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 201 Created"] * 2
    assert [b"Idempotent-Replayed: true" in answer for answer in answers] == [False, True]
