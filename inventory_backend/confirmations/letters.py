"""Write what a shopper reads by mail: the same words as plain text and as HTML."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.news import News
from inventory_backend.prices import price_text
from inventory_backend.sales import Money, Sale
from waitroom.kernel.pages import Pages

_SAID = {
    News.PAID: ("Your order", "Thank you. Your order is paid.", "Keep this message: it is your confirmation."),
    News.REFUNDED: ("Your refund", "Your payment was sent back.", "It may take your bank a few days to show it."),
}
TOLD_BY_MAIL = frozenset(_SAID)


class Letters:
    """Writes mails about orders."""

    def __init__(self, sales: Mapping[str, Sale], sender: str, sender_name: str, pages: Pages) -> None:
        """Call things by their names in `sales`."""
        self._sales = sales
        self._sender = Address(sender_name, addr_spec=sender)
        self._pages = pages

    def letter(self, notice: Notice, to: str) -> EmailMessage:
        """Return the mail to `to`; at every try it is the same, under the same Message-ID."""
        subject, greeting, closing = _SAID[notice.kind]
        sale, currency = self._sales.get(notice.sale), notice.cost.currency
        title = _one_line(sale.title if sale else notice.sale)
        lines = []
        for line in notice.lines:
            sku = sale.skus.get(line.sku) if sale else None
            price = price_text(Money(line.unit_amount, currency).as_json())
            lines.append(f"{line.qty} x {_one_line(sku.name) if sku else line.sku}, {price}")
        words = {
            "title": title,
            "greeting": greeting,
            "lines": lines,
            "total": price_text(notice.cost.as_json()),
            "order_id": notice.order_id or notice.rid,
            "closing": closing,
        }
        message = EmailMessage()
        message["Subject"] = f"{subject}: {title}"
        message["From"] = self._sender
        message["To"] = Address(addr_spec=to)
        message["Date"] = format_datetime(datetime.fromtimestamp(notice.at_ms / 1000, UTC))
        message["Message-ID"] = f"<{notice.message_id}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_text(words))
        message.add_alternative(self._pages.render("mail/confirmation.html", **words), subtype="html")
        return message


def _text(words: Mapping[str, object]) -> str:
    lines = words["lines"]
    assert isinstance(lines, list)
    goods = [f"  {line}" for line in lines]
    rows = [words["greeting"], "", words["title"], *goods, f"Total: {words['total']}", f"Order: {words['order_id']}"]
    return "\n".join(map(str, [*rows, "", words["closing"], ""]))


def _one_line(text: str) -> str:
    """Return `text` without line breaks: a header has one line."""
    return " ".join(text.split())
