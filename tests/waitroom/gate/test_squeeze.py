"""Squeezing: the page gets smaller, and says and does what it did."""

import re
from pathlib import Path

import pytest

from waitroom.gate.squeeze import squeezed, squeezed_script, squeezed_style

STATIC = Path(__file__).parents[3] / "templates" / "static"


def test_what_is_said_stays_and_what_is_for_readers_goes() -> None:
    html = '<p>  a  b </p>\n\n   <!-- why -->\n<script nonce="x">\n  // why\n  f("x  =  // y"); /* why */\n</script>\n'

    assert squeezed(html) == '<p>  a  b </p>\n<script nonce="x">f("x  =  // y");</script>\n'


def test_a_page_without_scripts_keeps_its_lines() -> None:
    assert squeezed("  <h1>a</h1>\n\n  <p>b</p>") == "<h1>a</h1>\n<p>b</p>\n"


def test_a_style_keeps_its_meaning() -> None:
    style = "/* why */\n.a > b, .c d { margin: 0 -1px; color: var(--x) }\n@media (min-width: 9rem) {\n  i { x: y }\n}\n"

    assert squeezed_style(style) == ".a>b,.c d{margin:0 -1px;color:var(--x)}@media (min-width:9rem){i{x:y}}"


@pytest.mark.parametrize(
    ("source", "small"),
    [
        ("a = b + +c - -d;", "a=b+ +c- -d;"),
        ("return / +/.test(x) ;", "return/ +/.test(x);"),
        ("x.replace(/\\/[/ ]/g, 'no')", None),
        ('y = z / 2 / "//";', 'y=z/2/"//";'),
        ("typeof a === 1 in b;", "typeof a===1 in b;"),
        ("f(...list, x => ({ y: 1 }));", "f(...list,a=>({y:1}));"),
        ("if (a)\n  b();\nelse\n  c();", "if(a)b();else c();"),
        ("a = `no`;", None),
    ],
)
def test_only_what_means_nothing_is_left_out(source: str, small: str | None) -> None:
    if small is None:
        with pytest.raises(ValueError, match="cannot be squeezed"):
            squeezed_script(source)
    else:
        assert squeezed_script(source) == small


@pytest.mark.parametrize("path", sorted(STATIC.glob("waiting*.js")), ids=lambda path: path.name)
def test_every_string_of_the_page_is_still_in_it(path: Path) -> None:
    source = path.read_text()
    strings = re.findall(r'"(?:[^"\\\n]|\\.)*"', re.sub(r"(?m)^\s*//.*$", "", source))

    assert re.findall(r'"(?:[^"\\\n]|\\.)*"', squeezed_script(source)) == strings
