"""An operator's colour, made readable: from one accent the shades that keep WCAG AA contrast in light and in dark."""

import re
from dataclasses import dataclass

DEFAULT_ACCENT = "#2848c8"
READABLE_RATIO = 4.5
"""The least contrast of text with what lies behind it (WCAG 2.2, 1.4.3)."""

_HEX_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LIGHT_PAPER, _DARK_PAPER = "#f1efe9", "#1e2023"  # the stronger of the two papers in templates/gate/colours.html
_WHITE, _BLACK = "#ffffff", "#000000"


@dataclass(frozen=True, slots=True)
class Look:
    """What an operator may choose about the gate's pages, with the shades that follow from it."""

    title: str
    accent: str
    on_accent: str
    accent_on_light: str
    accent_on_dark: str


def look(title: str, accent: str = DEFAULT_ACCENT) -> Look:
    """Return the look of a room called `title` with the colour `accent` ("#2848c8").

    Raises:
        ValueError: `accent` is not six hexadecimal digits after a #.
    """
    if not _HEX_COLOUR.fullmatch(accent):
        raise ValueError('must be a colour written like "#2848c8"')
    accent = accent.lower()
    on_accent = max((_WHITE, _BLACK), key=lambda ink: contrast(ink, accent))
    return Look(title, accent, on_accent, readable(accent, _LIGHT_PAPER), readable(accent, _DARK_PAPER))


def readable(colour: str, paper: str) -> str:
    """Return `colour`, moved towards black or white only as far as it takes to be read on `paper`."""
    ink = max((_WHITE, _BLACK), key=lambda each: contrast(each, paper))
    shades = (_mixed(colour, ink, step / 20) for step in range(21))
    return next(shade for shade in shades if contrast(shade, paper) >= READABLE_RATIO)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21.

    Source: WCAG 2.2, "contrast ratio", "relative luminance".
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _mixed(colour: str, ink: str, ink_ratio: float) -> str:
    pairs = zip(_channels(colour), _channels(ink), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * ink_ratio):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
