"""An operator's colour stays readable, whatever it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.gate.looks import READABLE_RATIO, contrast, look, readable
from waitroom.kernel.pages import Pages

colours = st.integers(min_value=0, max_value=0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"), [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#abcdef", "#abcdef", 1.0)]
)
def test_contrast_is_what_the_standard_says(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert contrast(one, other) == contrast(other, one)


@given(colours)
def test_any_colour_can_be_read_in_light_and_in_dark(accent: str) -> None:
    seen = look("A shop", accent)

    assert contrast(seen.on_accent, seen.accent) >= READABLE_RATIO
    for light in ("#fbfaf7", "#f1efe9"):
        assert contrast(seen.accent_on_light, light) >= READABLE_RATIO
    for dark in ("#131416", "#1e2023"):
        assert contrast(seen.accent_on_dark, dark) >= READABLE_RATIO


@pytest.mark.parametrize("ink", ["ink", "soft", "good", "warn", "bad", "accent-text"])
def test_every_ink_of_the_pages_can_be_read_on_every_paper(ink: str) -> None:
    style = Pages().render("gate/colours.html", look=look("A shop"))
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in style.split("@media"))

    for scheme in (light, dark):
        assert contrast(scheme[ink], scheme["paper"]) >= READABLE_RATIO
        assert contrast(scheme[ink], scheme["card"]) >= READABLE_RATIO


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert readable("#2848c8", "#ffffff") == "#2848c8"


@pytest.mark.parametrize("accent", ["", "red", "#12345", "#1234567", "#12345g", "2848c8", "#123;}"])
def test_what_is_not_a_colour_is_refused(accent: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        look("A shop", accent)
