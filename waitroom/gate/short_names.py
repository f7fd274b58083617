"""Give a script's own variables and functions names of a letter or two; what they mean outside stays untouched.

The script is one function around everything: `(function () { … })();`. Each statement in it is looked at alone, and a
name that the statement declares anywhere is replaced in the whole of it alike, wherever it is not a property. So no
scope has to be known: what was one variable stays one, and what were two stay two. Names of the outermost level are
replaced in the whole script alike, by others than those. A name in a short-hand (`{ status, data }`) is a property too,
and keeps its length. Not known, and not written by us: labels, and defaults in patterns.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from string import ascii_lowercase, ascii_uppercase

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DECLARING = frozenset({"function", "const", "let", "var", "class"})
_BEFORE_BLOCKS = frozenset({"if", "for", "while", "switch"})
_TWO_LETTER_WORDS = frozenset({"do", "if", "in", "of"})
_OUTERMOST = 2
"""How many brackets are open where the statements of the outermost level stand."""


@dataclass(slots=True)
class _Statement:
    """One statement of the outermost level: where it names variables, which it declares, which are properties too."""

    places: list[int] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)


def shortened(kinds: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Return the tokens of a script, given by kind and text, with short names; there are no spaces between."""
    script = _Script(kinds, texts)
    uses = Counter(texts[at] for statement in script.statements for at in statement.places)
    outer = script.outermost.difference(*(statement.fixed for statement in script.statements))
    shared = _short(outer, uses, ascii_uppercase, taken=set(uses))
    short = list(texts)
    for statement in script.statements:
        uses = Counter(texts[at] for at in statement.places)
        own = statement.declared - script.outermost - statement.fixed
        names = shared | _short(own, uses, ascii_lowercase, taken=set(shared.values()) | set(uses) - own)
        for at in statement.places:
            short[at] = names.get(texts[at], texts[at])
    return short


def _short(names: Collection[str], uses: Counter[str], letters: str, *, taken: Collection[str]) -> dict[str, str]:
    """Return a new name for each, the shortest for the most used."""
    free = (name for name in _names(letters) if name not in taken and name not in _TWO_LETTER_WORDS)
    return dict(zip(sorted(names, key=lambda name: (-uses[name], name)), free, strict=False))


def _names(letters: str) -> Iterator[str]:
    yield from letters
    yield from ("".join(pair) for pair in product(letters, repeat=2))


class _Script:
    """The statements of a script, and what its outermost level declares."""

    def __init__(self, kinds: Sequence[str], texts: Sequence[str]) -> None:
        self._kinds = kinds
        self._texts = texts
        self._ends = _ends(kinds, texts)
        self.statements = [_Statement()]
        self.outermost: set[str] = set()
        self._read()

    def _read(self) -> None:
        opened: list[str] = []
        for at, text in enumerate(self._texts):
            if self._kinds[at] == "mark":
                if text in _CLOSING:
                    opened.append(text)
                elif text in _CLOSING.values():
                    opened.pop()
                if len(opened) == _OUTERMOST and text in ";}":
                    self.statements.append(_Statement())
            elif self._kinds[at] == "name":
                self._sort(at, opened)
            if text in {"(", "["}:
                self._read_list(at, len(opened) - 1)

    def _sort(self, at: int, opened: list[str]) -> None:
        """Take a name for what it is: a property, a variable, or both; note it where it is declared."""
        before, text, after = self._texts[at - 1], self._texts[at], self._texts[at + 1]
        is_entry = bool(opened) and opened[-1] == "{" and before in {"{", ","}
        if before == "." or (is_entry and (after == ":" or self._is_method(at))):
            return
        statement = self.statements[-1]
        statement.places.append(at)
        if is_entry and after in {",", "}"}:
            statement.fixed.add(text)
        if before in _DECLARING or (before == "," and after == "="):
            self._declare({text}, len(opened))
        elif after == "=>":
            statement.declared.add(text)

    def _declare(self, names: set[str], depth: int) -> None:
        (self.outermost if depth == _OUTERMOST else self.statements[-1].declared).update(names)

    def _is_method(self, at: int) -> bool:
        end = self._ends.get(at + 1, 0)
        return self._texts[at + 1] == "(" and self._texts[end + 1] == "{" and self._texts[at] not in _BEFORE_BLOCKS

    def _read_list(self, at: int, depth: int) -> None:
        """Note the names in the bracket at `at`, where they are parameters, or a pattern that is declared."""
        inside = slice(at, self._ends[at])
        names = {t for kind, t in zip(self._kinds[inside], self._texts[inside], strict=True) if kind == "name"}
        if self._texts[at] == "[" and self._texts[at - 1] in _DECLARING:
            self._declare(names, depth)
        elif self._texts[at] == "(" and self._has_parameters(at):
            self.statements[-1].declared |= names

    def _has_parameters(self, at: int) -> bool:
        if at == 0:
            return False
        before = self._texts[max(0, at - 2) : at]
        is_function = "function" in before or (before[-1] == "catch" and before[0] != ".")
        is_arrow = self._texts[self._ends[at] + 1 : self._ends[at] + 2] == ["=>"]
        return is_function or is_arrow or (self._kinds[at - 1] == "name" and self._is_method(at - 1))


def _ends(kinds: Sequence[str], texts: Sequence[str]) -> dict[int, int]:
    """Return where each bracket is closed."""
    ends, opened = {}, []
    for at, (kind, text) in enumerate(zip(kinds, texts, strict=True)):
        if kind == "mark" and text in _CLOSING:
            opened.append(at)
        elif kind == "mark" and text in _CLOSING.values():
            ends[opened.pop()] = at
    return ends
