"""The house keeps its own rules: mirrors, headers, sizes, and nothing of any one machine in a tracked file."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import meta

from waitroom.kernel.pages import Pages
from waitroom.kernel.scripts import load_script

ROOT = Path(__file__).parents[2]
MODULE_LINES, FUNCTION_LINES = 300, 60
"""Nobody reads further than this in one go. Good ones have half."""


def files(*places: str) -> list[Path]:
    """Return what git tracks, or would track, relative to the top."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *places]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted({Path(name) for name in listed if (ROOT / name).is_file()})


def text(path: Path) -> str:
    return (ROOT / path).read_text("utf-8")


MODULES = [path for path in files("waitroom", "inventory_backend") if path.suffix == ".py"]
MIGRATIONS = Path("inventory_backend/ledger/migrations")
"""Its steps are tested together, by what they make: test_migrating.py."""
SCRIPTS = [path for path in files("lua") if path.suffix == ".lua" and path.parent.name != "shared"]
TEMPLATES = [path for path in files("templates") if path.suffix == ".html"]


def mirror(source: Path) -> Path:
    """Return where the test of a module or a script stands."""
    return Path("tests") / source.parent / f"test_{source.stem.strip('_')}.py"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# Mirrors


def test_every_module_and_every_script_has_its_test() -> None:
    sources = [path for path in (*MODULES, *SCRIPTS) if path.name != "__init__.py" and path.parent != MIGRATIONS]

    assert [str(path) for path in sources if not (ROOT / mirror(path)).is_file()] == []


def test_no_test_has_lost_its_module() -> None:
    mirrored = [str(mirror(path).with_suffix("")) for path in (*MODULES, *SCRIPTS)]
    tests = [
        path for path in files("tests/waitroom", "tests/inventory_backend", "tests/lua") if path.match("test_*.py")
    ]

    # test_waiting_page.py may stand beside test_waiting.py; tests/lua/test_*.py see several scripts together
    alone = [path for path in tests if not str(path).startswith(tuple(mirrored)) and path.parent != Path("tests/lua")]
    assert [str(path) for path in alone] == []


def test_a_package_says_what_it_is_and_does_nothing() -> None:
    for path in (path for path in MODULES if path.name == "__init__.py"):
        parsed = ast.parse(text(path))
        assert ast.get_docstring(parsed), path
        assert not [node for node in parsed.body if isinstance(node, ast.FunctionDef | ast.ClassDef)], path


# Sizes and first lines


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_short_enough_to_read(path: Path) -> None:
    assert len(text(path).splitlines()) <= MODULE_LINES
    too_long = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= FUNCTION_LINES]
    assert too_long == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_begins_with_a_sentence(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(text(path))) or "").partition("\n")[0]
    assert first[:1] and first.endswith((".", "!", "?")), first


def test_no_name_says_nothing() -> None:
    empty = r"(manager|handler|helpers?|utils?|common|misc|impl|base|stuff)"
    named = {part: path for path in (*MODULES, *SCRIPTS, *TEMPLATES) for part in path.with_suffix("").parts}
    for path in MODULES:
        named |= {node.name: path for node in ast.walk(ast.parse(text(path))) if isinstance(node, ast.ClassDef)}

    words = {name: re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name) for name in named}
    assert [name for name, parts in words.items() if any(re.fullmatch(empty, part.lower()) for part in parts)] == []


# Lua


def code_of(source: str) -> str:
    return re.sub(r"--[^\n]*", "", source)


def bindings(code: str) -> Iterator[tuple[str, str, int]]:
    """Yield (name, list, position) of each `local a, b = KEYS[1], tonumber(ARGV[2])` and `{ c = ARGV[3] }`."""
    for names, values in re.findall(r"^local ([\w, ]+) = ((?:[\w(]*(?:KEYS|ARGV)\[\d+\][), ]*)+)$", code, re.MULTILINE):
        for name, value in zip(names.split(", "), values.split(", "), strict=True):
            kind, position = re.findall(r"(KEYS|ARGV)\[(\d+)\]", value)[0]
            yield name, kind, int(position)
    for table in re.findall(r"\{[^}]*\}", code):
        for name, kind, position in re.findall(r"(\w+) = (KEYS|ARGV)\[(\d+)\]", table):
            yield name, kind, int(position)


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_a_script_takes_what_its_header_says(path: Path) -> None:
    source = text(path)
    script = load_script(f"{path.parent.name}/{path.stem}")
    code, whole = code_of(source), code_of(script.source)
    said = [(name, kind, int(number)) for kind, number, name in re.findall(r"^-- (\w+)\[(\d+)\] +(\w+)", source, re.M)]
    assert re.match(rf"-- {path.stem}: .+\.?\n", source), "the first line is `-- name: what it does`"
    for kind in ("KEYS", "ARGV"):
        numbers = [number for _, of, number in said if of == kind]
        assert numbers == list(range(1, len(numbers) + 1)), f"{kind} are numbered without a gap"
    assert {(kind, int(number)) for kind, number in re.findall(r"(KEYS|ARGV)\[(\d+)\]", code)} == {
        (kind, number) for _, kind, number in said
    }, "what is passed is read, and what is read is passed"
    for name, kind, number in bindings(code):
        assert (name, kind, number) in said, f"the header calls {kind}[{number}] otherwise than {name}"
        assert len(re.findall(rf"\b{name}\b", whole)) > 1, f"{name} is named and never read"
    assert script.keys + script.args == tuple(name for name, _, _ in said)


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_a_script_replies_what_its_header_says(path: Path) -> None:
    source = text(path)
    code = code_of(load_script(f"{path.parent.name}/{path.stem}").source)
    said = set(re.findall(r'^-- REPLY +"([\w-]+)"', source, re.MULTILINE))

    assert said, "the header says what comes back"
    assert said <= set(re.findall(r"'([\w-]+)'", code)), "a reply that is never made"
    assert set(re.findall(r"return \{\s*'([\w-]+)'", code)) <= said, "a reply that is not announced"


@pytest.mark.parametrize("path", [path for path in files("lua") if path.suffix == ".lua"], ids=str)
def test_a_script_has_no_chance_no_clock_and_no_endless_loop(path: Path) -> None:
    code = code_of(text(path))

    assert not re.search(r"math\.random|os\.|while true|SCAN|'KEYS'", code)
    assert "'TIME'" not in code or path.stem == "clock", "only shared/clock reads the clock"


# Templates


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_template_takes_what_its_first_line_says(path: Path) -> None:
    source = text(path)
    first = source.partition("\n")[0]
    header = re.fullmatch(rf"\{{# {path.stem}: (?P<values>[a-z_, ]*?) ?[—\u2013] .+ #\}}", first)
    assert header, f"begin with {{# {path.stem}: its, values — what it is #}}"
    said = {value for value in header["values"].split(", ") if value}

    environment = Pages(ROOT / "templates").environment
    wanted: set[str] = set()
    waiting, seen = [str(path.relative_to("templates"))], set[str]()
    while waiting:  # what a template includes sees the same values
        seen.add(name := waiting.pop())
        parsed = environment.parse(text(Path("templates") / name))
        wanted |= meta.find_undeclared_variables(parsed)
        waiting += [other for other in meta.find_referenced_templates(parsed) if other and other not in seen]
    assert said == wanted - set(environment.globals)


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_template_runs_nothing_without_a_nonce(path: Path) -> None:
    source = text(path)

    for tag in re.findall(r"<(?:script|style)\b[^>]*>", source):
        if 'type="application/json"' in tag:
            continue  # data: no browser runs it
        assert 'nonce="{{ nonce }}"' in tag, tag
    assert not re.search(r"\son[a-z]+=|javascript:|\sstyle=", source)
    assert "|safe" not in source.replace(" ", "")


# What is tracked

MACHINES = r"/(?:home|root|Users|work)/[a-z]|\.pyenv"
INDEXES = r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs|pypi-|index-url|simple/)"


@pytest.mark.parametrize("path", files(), ids=str)
def test_a_tracked_file_knows_no_machine_and_no_package_index(path: Path) -> None:
    try:
        content = text(path)
    except UnicodeDecodeError:
        pytest.skip("not text")
    if path == Path(__file__).relative_to(ROOT):
        content = re.sub(r"^(MACHINES|INDEXES) = .*$", "", content, flags=re.MULTILINE)

    assert re.findall(rf".*(?:{MACHINES}|{INDEXES}).*", content) == []


def test_what_is_not_tested_says_so_with_its_reason() -> None:
    ignores = r"#\s*(?:noqa|type: ignore|pragma: no cover)[^#\n]*"
    reasoned = r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\]|pragma: no cover)\s*(?:-|#)\s*\S+"
    bare = []
    for path in (path for path in files() if path.suffix == ".py" and path != Path(__file__).relative_to(ROOT)):
        for line in text(path).splitlines():
            if re.search(ignores, line) and not re.search(reasoned, line):
                bare.append(f"{path}: {line.strip()}")
    assert bare == []
