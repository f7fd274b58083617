"""Say what is wrong with a file of settings: each fault with its path, and what to do about it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

At = tuple[str | int, ...]
"""Where in the file something stands: ("rooms", 0, "paths")."""

_SAID = {
    "missing": "is missing; add it",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, such as [1, 2]",
    "list_type": "must be a list, such as [1, 2]",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "too_short": "must hold at least {min_length}",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, and where."""

    at: At
    text: str

    def __str__(self) -> str:
        """Spell it as `rooms[0].paths: must …`."""
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.at).removeprefix(".")
        return f"{path}: {self.text}" if path else self.text


class Faults(ValueError):
    """Several faults found by one validator, their places relative to the model it checks."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep them apart; pydantic alone would make one line of them."""
        self.faults = list(faults)
        super().__init__("; ".join(map(str, self.faults)))


def told(refused: ValidationError, model: type[BaseModel]) -> Iterator[Fault]:
    """Yield the faults that pydantic found in `model`, in words for who wrote the file."""
    errors = [error for error in refused.errors() if error["type"] != "default_factory_not_called"]
    for error in errors:
        if error["type"] == "too_short" and any(_is_below(other["loc"], error["loc"]) for other in errors):
            continue  # pydantic counts only what is sound, and what is not is told already
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, Faults):
            yield from (Fault((*error["loc"], *fault.at), fault.text) for fault in cause.faults)
        elif error["type"] == "extra_forbidden":
            yield Fault(error["loc"], _unknown(error["loc"], model))
        else:
            yield Fault(error["loc"], _said(error))


def _is_below(at: At, above: At) -> bool:
    return len(at) > len(above) and at[: len(above)] == above


def _said(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] in {"value_error", "assertion_error"}:
        return str(context["error"])
    template = _SAID.get(error["type"])
    return template.format(**context) if template else error["msg"][:1].lower() + error["msg"][1:]


def _unknown(at: At, model: type[BaseModel]) -> str:
    table = _table(at[:-1], model)
    known = [field.validation_alias for field in table.model_fields.values()] if table else []
    names = [name for name in known if isinstance(name, str)]
    close = get_close_matches(str(at[-1]), names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(sorted(names))}"
    return f"is not a setting; {hint}"


def _table(at: At, model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model that reads the table at `at`; list positions lead no further down."""
    found: type[BaseModel] | None = model
    for step in (step for step in at if isinstance(step, str)):
        fields = found.model_fields.values() if found else ()
        annotation = next((field.annotation for field in fields if field.validation_alias == step), None)
        found = _model_in(annotation)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def syntax(message: str) -> str:
    """Return a fault of tomllib's with the line first, since that is what one looks for."""
    match = re.fullmatch(r"(.*) \((?:at )?(line \d+, column \d+|end of document|at end of document)\)", message)
    return f"{match[2].removeprefix('at ')}: {match[1]}" if match else message


def repeated(written: Mapping[str, Any], table: str, key: str) -> Iterator[Fault]:
    """Yield a fault for each entry of the list `table` whose `key` stands in an earlier entry too."""
    first: dict[str, int] = {}
    for index, value in entries(written, table, key):
        if value in first:
            yield Fault((table, index, key), f'"{value}" is taken by {table}[{first[value]}]; give it another')
        first.setdefault(value, index)


def entries(written: Mapping[str, Any], table: str, key: str) -> Iterator[tuple[int, str]]:
    """Yield position and text of `key` in each entry of the list `table`, skipping what is not even of that shape."""
    rows = written.get(table)
    for index, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
        if isinstance(row, Mapping) and isinstance(row.get(key), str):
            yield index, row[key]
