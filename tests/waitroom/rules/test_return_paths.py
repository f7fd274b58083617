"""Where a visitor may be sent back to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules.return_paths import return_path


@pytest.mark.parametrize("path", ["/", "/drop/shoe?size=9&x=%2F", "/a:b@c", "/%E2%82%AC"])
def test_a_path_of_this_site_is_kept(path: str) -> None:
    assert return_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *(None, "", "drop", "//evil.example", "/\\evil.example", "\\\\evil", "https://evil.example/", "javascript:x"),
        *(
            "/\t/evil.example",
            "/\n/evil",
            "/a\r\nSet-Cookie: x",
            "/a\\b",
            "/ü",
            "/" + "a" * 3000,
            "/.waitroom/drop/wait",
        ),
    ],
)
def test_anything_else_goes_home(path: str | None) -> None:
    assert return_path(path, "/home") == "/home"


@given(st.text(max_size=40))
def test_no_text_leads_to_another_site(text: str) -> None:
    found = return_path(text)

    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()
