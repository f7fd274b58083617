"""Pages escape what visitors send, miss nothing silently, and run nothing that is not ours."""

from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from waitroom.kernel.pages import Pages, csp, nonce


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate/hello.html").write_text('{% if name %}\n  <p title="{{ name }}">{{ name }}</p>\n{% endif %}\n')
    (tmp_path / "hello.js").write_text("{{ name }}")
    (tmp_path / "deep.html").write_text("{{ name.first }}")
    return Pages(tmp_path)


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"onmouseover="alert(1)', "'><img src=x>", "a&<b"])
@pytest.mark.parametrize("template", ["gate/hello.html", "hello.js"])
def test_what_a_visitor_sends_is_text(pages: Pages, evil: str, template: str) -> None:
    page = pages.render(template, name=evil)

    assert evil not in page
    assert "<script" not in page
    assert '"onmouseover' not in page


def test_blocks_leave_no_blank_lines(pages: Pages) -> None:
    assert pages.render("gate/hello.html", name="Ada") == '  <p title="Ada">Ada</p>\n'


@pytest.mark.parametrize(
    ("template", "values"), [("gate/hello.html", {}), ("deep.html", {"name": {}}), ("deep.html", {})]
)
def test_a_missing_value_is_an_error(pages: Pages, template: str, values: dict[str, object]) -> None:
    with pytest.raises(UndefinedError):
        pages.render(template, **values)


@pytest.mark.parametrize("name", ["gate/none.html", "../gate/hello.html", "/etc/passwd"])
def test_no_template_is_found_outside_the_folder(pages: Pages, name: str) -> None:
    with pytest.raises(TemplateNotFound):
        pages.render(name)


def test_every_template_we_ship_can_be_read() -> None:
    shipped = Pages().environment
    names = shipped.list_templates(extensions=["html"])

    assert names
    for name in names:
        shipped.get_template(name)


def test_a_nonce_is_new_every_time_and_fits_a_header() -> None:
    nonces = {nonce() for _ in range(1000)}

    assert len(nonces) == 1000
    assert all(len(n) >= 16 and n.replace("-", "").replace("_", "").isalnum() for n in nonces)


def test_a_page_runs_what_carries_its_nonce_and_nothing_else() -> None:
    rules = dict(rule.split(" ", 1) for rule in csp("abc").split("; "))

    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'nonce-abc'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["form-action"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in csp("abc")
    assert "worker-src" not in rules


def test_a_worker_and_another_form_target_are_asked_for() -> None:
    policy = csp("abc", worker=True, form_action="'none'")

    assert "worker-src blob:" in policy
    assert "form-action 'none'" in policy
