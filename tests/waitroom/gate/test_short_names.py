"""Short names: what a script does is the same, and nobody outside it notices."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from waitroom.gate.squeeze import squeezed_script
from waitroom.gate.waiting import WaitingPage
from waitroom.kernel.pages import Pages

STATIC = Path(__file__).parents[3] / "templates" / "static"

# Every way of naming a variable that our scripts know, in a program whose answer depends on each of them.
PROGRAM = """
(function () {
  "use strict";
  const settings = { first: 1, second: { first: 2 }, method(given) { return given + this.first; } };
  let counter = 0, later;
  const caught = Promise.reject(3).catch(number => number + Math.max(1, 2));
  class Fault extends Error {
    constructor(reason) {
      super(reason);
      this.reason = reason;
    }
  }
  const double = value => value * 2, sum = (left, right) => left + right;
  function outer(value, ...others) {
    const { first, second } = settings, [one, two] = others;
    function inner(value) {
      const counter = value + 100; // another one than the outermost
      return counter;
    }
    for (let index = 0; index < others.length; index++) counter += others[index];
    try {
      throw new Fault("broken");
    } catch (fault) {
      later = fault.reason + fault.message;
    }
    const chosen = value ? double(one) : two;
    return { value: value, first: first, second, one, two: two, inner: inner(value), chosen: chosen };
  }
  const settle = ({ first }) => first, pairs = [[1, 2], [3, 4]].map(([left, right]) => left * 10 + right);
  async function slow(value) { return sum(await value, 1); }
  const told = [outer(7, 8, 9), counter, later, settings.method(5), settle(settings), pairs, String(double).length > 0];
  caught.then(slow).then(answer => console.log(JSON.stringify(told.concat(answer))));
})();
"""


def said(script: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the shortened script was NOT run")
    return subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_shortened_program_has_the_same_answer() -> None:
    small = squeezed_script(PROGRAM)

    assert said(small) == said(PROGRAM)
    assert not re.search(r"counter|double|others|index|inner\(|given", small)


def test_properties_strings_and_names_of_the_browser_stay() -> None:
    small = squeezed_script(
        '(function () {\nconst name = document.title;\nshow({ name: name.name, id: "name" });\n})();'
    )

    assert small == '(function(){const A=document.title;show({name:A.name,id:"name"});})();'


def test_a_name_that_is_local_in_one_statement_may_be_the_browsers_in_another() -> None:
    small = squeezed_script("(function () {\nconst f = event => event.type;\nconst g = () => event.type;\n})();")

    assert small == "(function(){const A=a=>a.type;const B=()=>event.type;})();"


def test_no_short_name_is_one_that_is_used_already() -> None:
    small = squeezed_script("(function () {\nfunction f(value) { return a + A + value; }\nf(1);\n})();")

    assert small == "(function(){function B(b){return a+A+b;}B(1);})();"


def test_the_solver_of_the_page_solves_as_it_did() -> None:
    source = "(function () {\n" + (STATIC / "solver.js").read_text() + "\n" + (STATIC / "waiting_words.js").read_text()
    asking = """
    const solver = makeSolver(), state = solver.start("AAAAAAAAAAAAAAQIAAAAAAAAAAA", []);
    while (!solver.work(state, 64));
    const times = [0, 59, 61, 3601, 90000].map(s => [waitText(s, s * 2), clockParts(s * 1000)]);
    console.log(JSON.stringify([state.nonces, solver.solution(state), solver.score("00ff", "x"), times]));
    })();
    """

    answers = said(squeezed_script(source + asking))

    assert answers == said(source + asking)
    assert len(json.loads(answers)[0]) == 4


GLOBALS = """
AbortController Array AudioContext Blob BroadcastChannel Date Error Infinity Int32Array JSON Math Object Promise
String URL URLSearchParams Worker atob btoa clearInterval clearTimeout document encodeURIComponent fetch history
localStorage location navigator performance setInterval setTimeout window
"""


def test_no_name_of_the_browser_is_taken_for_our_own() -> None:
    page = WaitingPage(Pages()).prepared("drop").body.decode()
    sources = [STATIC / "solver.js", *STATIC.glob("waiting*.js")]
    written = re.sub(r"(?m)^\s*//.*$", "", "".join(path.read_text() for path in sources))

    for name in re.findall(r"\w+", GLOBALS):
        mentioned = re.compile(rf"(?<![\w$.])(?:window\.)?{name}\b")
        assert len(mentioned.findall(page.partition("<script")[2])) == len(mentioned.findall(written)), name
        assert mentioned.search(written), f"{name} is used no more"
