"""Where a visitor may be sent back to: a path of the same site, nothing else."""

import re

_PATH = re.compile(r"/(?![/\\])[!-~]{0,2047}")
"""Printable ASCII that begins with one slash: no other host, no scheme, no line break, no backslash second."""


def return_path(wanted: str | None, default: str = "/") -> str:
    """Return `wanted` if it is a path of this site, with or without a query, else `default`.

    A browser reads `//host`, `/\\host` and `/<tab>/host` as another site (WHATWG URL, path-or-authority state), and
    drops tabs and line breaks; none of these is let through.
    """
    if wanted is None or not _PATH.fullmatch(wanted) or "\\" in wanted:
        return default
    if wanted.startswith("/.waitroom/"):  # back into the waiting room would be a circle
        return default
    return wanted
