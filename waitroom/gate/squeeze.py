"""Make a page small before it is compressed: comments, spaces and long names go; what it says and does stays."""

import re
from collections.abc import Iterator
from itertools import pairwise

from waitroom.gate.short_names import shortened

_BLOCK = re.compile(r"(<(script|style)\b[^>]*>)(.*?)(</\2>)", re.DOTALL)
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AROUND_BRACE = re.compile(r"\s*([{};,>])\s*")
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<pattern>(?:(?<=[(,=:\[!&|?])|(?<=[=|&?:,]\ )|(?<=return\ ))/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<number>\.?\d[\w.]*)
    |(?P<space>\s+)
    |(?P<mark>=>|={2,3}|!={1,2}|\.\.\.|\+\+|--|[^\s\w"'`])""",
    re.DOTALL | re.VERBOSE,
)


def squeezed(html: str) -> str:
    """Return `html` without indentation, blank lines and comments, its inline scripts and styles squeezed.

    Raises:
        ValueError: a script is written in a way that `squeezed_script` does not know.
    """
    blocks: list[str] = []

    def set_aside(found: re.Match[str]) -> str:
        blocks.append(squeezed_script(found[3]) if found[2] == "script" else squeezed_style(found[3]))
        return f"{found[1]}\0{found[4]}"

    lines = (line.strip() for line in _BLOCK.sub(set_aside, html).splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("<!--")) + "\n"
    return "".join(part + block for part, block in zip(kept.split("\0"), [*blocks, ""], strict=True))


def squeezed_style(source: str) -> str:
    """Return a style without what is there for its readers."""
    return _AROUND_BRACE.sub(r"\1", _STYLE_COMMENT.sub("", source).replace(": ", ":")).strip()


def squeezed_script(source: str) -> str:
    """Return a script that does the same, without what is there for its readers.

    Sound for scripts as ours are written: statements end in semicolons, strings stand in double quotes, there are no
    template strings; for names see `short_names`.

    Raises:
        ValueError: it has something that is none of our tokens.
    """
    tokens = [token for token in _tokens(source) if token[0] not in {"comment", "space"}]
    texts = shortened([kind for kind, _ in tokens], [text for _, text in tokens])
    return "".join(f" {text}" if _needs_space(before, text) else text for before, text in pairwise(["", *texts]))


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None or found.lastgroup is None:
            raise ValueError(f"a script that cannot be squeezed, at {source[at : at + 40]!r}")
        at = found.end()
        yield found.lastgroup, found[0]


def _needs_space(before: str, text: str) -> bool:
    """Whether two tokens would be read as one without a space between."""
    return (_is_word(before[-1:]) and _is_word(text[0])) or (before[-1:] == text[0] and text[0] in "+-/")


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter in {"_", "$"}
