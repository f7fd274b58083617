"""The words by which differences are told are those of the page that explains them."""

from pathlib import Path

from inventory_backend.differences import Kind, Repair

PAGE = Path(__file__).parents[2] / "docs" / "payments.md"


def test_every_kind_and_every_repair_is_explained() -> None:
    page = PAGE.read_text("utf-8")

    assert [word for word in (*Kind, *Repair) if f"`{word}`" not in page] == []
