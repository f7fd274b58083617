"""Draw what requests cost beside the peers as bars: an SVG that the README shows, made without a library."""

from collections.abc import Mapping
from html import escape
from typing import Any

_COLOURS = {"waitroom": "#2848c8", "nginx": "#2f9e44", "haproxy": "#b8860b"}
_LEFT, _RIGHT, _WIDTH = 330, 70, 860
_BAR, _GAP, _TOP = 13, 14, 46
_LONGEST_US = 60.0
"""Longer bars are cut, with their figure beside them: one download would flatten all the rest."""


def drawn(compared: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the medians of `compared` (see `beside.compared`) as an SVG."""
    rows, y = [], _TOP
    for name, case in compared.items():
        medians = {who: cost["median"] for who, cost in case["cpu_us"].items()}
        middle = y + len(medians) * _BAR / 2 + 4
        rows.append(f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        for who, cpu_us in medians.items():
            width = min(cpu_us, _LONGEST_US) / _LONGEST_US * (_WIDTH - _LEFT - _RIGHT)
            rows.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_COLOURS[who]}"/>')
            rows.append(f'<text x="{_LEFT + width + 5:.1f}" y="{y + _BAR - 3}" class="s">{_told(cpu_us)}</text>')
            y += _BAR
        y += _GAP
    legend = "".join(
        f'<rect x="{_LEFT + 110 * place}" y="14" width="11" height="11" fill="{colour}"/>'
        f'<text x="{_LEFT + 110 * place + 16}" y="24">{who}</text>'
        for place, (who, colour) in enumerate(_COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" '
        'aria-label="Processor time a request, waitroom beside nginx and HAProxy" '
        'font-family="system-ui, sans-serif" font-size="13">'
        "<style>text{fill:#555}.s{font-size:11px}@media(prefers-color-scheme:dark){text{fill:#bbb}}</style>"
        f"{legend}{''.join(rows)}</svg>\n"
    )


def _told(cpu_us: float) -> str:
    return f"{cpu_us / 1000:,.0f} ms" if cpu_us >= 10_000 else f"{cpu_us:.1f} µs"
