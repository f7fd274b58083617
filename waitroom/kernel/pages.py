"""Render the HTML templates, and the policy that says what a page may run."""

import secrets
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from waitroom.kernel.assets import folder


class Pages:
    """The templates of both programs; an unknown value is an error, and everything is escaped."""

    def __init__(self, templates: Path | None = None) -> None:
        """Read from `templates`, by default those that came with the software."""
        self.environment = Environment(
            loader=FileSystemLoader(str(templates or folder("templates"))),
            undefined=StrictUndefined,
            autoescape=select_autoescape(default=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, **values: object) -> str:
        """Return the page `template` ("gate/waiting.html") filled with `values`."""
        return self.environment.get_template(template).render(**values)


def nonce() -> str:
    """Return a fresh value that marks the scripts and styles of one page as ours."""
    return secrets.token_urlsafe(12)


def csp(nonce: str, *, worker: bool = False, form_action: str = "'self'") -> str:
    """Return the Content-Security-Policy of a page whose inline parts carry `nonce`; nothing else may run.

    Source: W3C Content Security Policy Level 3.
    """
    rules = [
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        f"style-src 'nonce-{nonce}'",
        "img-src 'self' data:",
        "connect-src 'self'",
        f"form-action {form_action}",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    if worker:
        rules.append("worker-src blob:")
    return "; ".join(rules)
