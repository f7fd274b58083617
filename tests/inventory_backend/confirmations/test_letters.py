"""What a shopper reads: the same in text and HTML, and no word of ours or theirs becomes a header."""

from dataclasses import replace

import pytest

from inventory_backend.confirmations.letters import Letters
from inventory_backend.ledger.news import News
from inventory_backend.sales import Sku
from tests.inventory_backend.confirmations.test_webhooks import NOTICE
from tests.till import sale
from waitroom.kernel.pages import Pages

DROP = sale()


def letters(title: str = "Drop", name: str = "Sneaker") -> Letters:
    chosen = replace(DROP, title=title, skus={"sneaker": Sku("sneaker", name, 12900, 1)})
    return Letters({"drop": chosen}, "shop@example.com", "The Shop", Pages())


def test_a_confirmation_says_what_was_bought_in_both_forms() -> None:
    mail = letters().letter(NOTICE, "a@example.com")

    assert (mail["Subject"], mail["From"], mail["To"]) == (
        "Your order: Drop",
        "The Shop <shop@example.com>",
        "a@example.com",
    )
    assert mail["Message-ID"] == "<msg_1@example.com>"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        for words in ("2 x Sneaker, €129.00", "€258.00", "Your order is paid", "o"):
            assert words in body.get_content()


def test_a_refund_has_words_of_its_own_and_a_sale_that_is_over_keeps_its_name() -> None:
    mail = Letters({}, "shop@example.com", "", Pages()).letter(replace(NOTICE, kind=News.REFUNDED), "a@example.com")

    assert mail["Subject"] == "Your refund: drop"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "2 x sneaker" in body.get_content()


@pytest.mark.parametrize("words", ["a\r\nBcc: x@evil.example", "a\nb", "a\x0bb\u2028c"])
def test_no_title_makes_a_header(words: str) -> None:
    mail = letters(title=words).letter(NOTICE, "a@example.com")

    assert mail["Bcc"] is None
    assert b"\nBcc:" not in mail.as_bytes().partition(b"\n\n")[0]


def test_no_name_makes_markup() -> None:
    body = letters(name="<script>x</script>").letter(NOTICE, "a@example.com").get_body(("html",))

    assert body is not None
    assert "&lt;script&gt;" in body.get_content()
    assert "<script" not in body.get_content()
