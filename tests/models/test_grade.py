"""Submissions graded: right ones, wrong ones, and those that would stop or deceive whoever grades them."""

import doctest
import json
import os
import sys
import time
from pathlib import Path

import pytest
from hostile import assert_shown

from models import grade
from models.__main__ import main

ROOT = Path(__file__).parents[2]
RIGHT = """import numpy as np

def score_by_hand(U, W, b, x):
    a = 1 / (1 + np.exp(-(W @ x + b)))
    delta = U * a * (1 - a)
    return {"U": a, "W": np.outer(delta, x), "b": delta, "x": W.T @ delta}
"""


def inside(code):
    """A submission in which code runs when it is called, before it computes what is right."""
    return RIGHT.replace("    a =", f"    {code}\n    a =")


EQUAL = {name: "equal" for name in ("U", "W", "b", "x")}


def all_are(verdict):
    return dict.fromkeys(EQUAL, verdict)


ENDED = "ended before it returned, with exit code"

SUBMISSIONS = {
    "right": (RIGHT, EQUAL),
    # wherever the one that grades it has minigrad from
    "with minigrad": (
        f"import os, minigrad as mg; os.environ['PYTHONPATH'].split(os.pathsep).index({str(ROOT)!r})\n"
        + RIGHT.replace("1 / (1 + np.exp(-(W @ x + b)))", "mg.sigmoid(W @ x + b)"),
        EQUAL,
    ),
    "four mistakes": (
        RIGHT.replace('"U": a, ', "")
        .replace("outer(delta, x)", "outer(x, delta)")
        .replace('"b": delta', '"b": "delta"')
        .replace("W.T @ delta", "x[:3]"),
        {
            "U": "is missing",
            "W": "equals autograd's transpose",
            "b": "needs numbers, got str (<U5)",
            "x": "needs the shape (20,), has (3,)",
        },
    ),
    "not finite": (
        RIGHT.replace('"U": a', '"U": np.nan * a').replace("W.T @ delta", "1e308 * W[0]"),
        EQUAL | {"U": "it is not a number in some elements", "x": "differs"},
    ),
    "another key": (RIGHT.replace('"U"', '"V"'), all_are("by_hand needs gradients of U, W, b, x, got one of V")),
    "syntax": (RIGHT.replace("):", ")"), all_are("SyntaxError: expected ':' (syntax.py, line 3)")),
    "raises": (inside("1 / 0"), all_are("ZeroDivisionError: division by zero (line 4)")),
    "nothing": ("", all_are("needed a function score_by_hand, got none")),
    "os._exit": ("import os; os._exit(0)\n" + RIGHT, all_are(f"{ENDED} 0")),
    "sys.exit": (inside("raise SystemExit(0)"), all_are(f"{ENDED} 0")),
    "prints": (inside("print('all are right\\x1b[31m' * 10**6, flush=True)"), EQUAL),
    "a pipe in place of an answer": ("import os; os.mkfifo('returned.json'); os._exit(0)", all_are(f"{ENDED} 0")),
    # in its own process alone: the grader's NumPy judges
    "patches NumPy": (
        RIGHT.replace('"U": a', '"U": 2 * a')
        + "\nnp.abs = np.max = lambda *x, **y: 0\nnp.all = lambda *x, **y: True\n",
        EQUAL | {"U": "differs by a factor of exactly 2"},
    ),
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_each_gets_its_verdicts(name, tmp_path, capfd):
    code, verdicts = SUBMISSIONS[name]
    (tmp_path / f"{name}.py").write_text(code)
    found = grade.grade(tmp_path / f"{name}.py", seconds=60)
    assert found.verdicts == {"score_by_hand": verdicts}
    assert found.right == list(verdicts.values()).count("equal") and bool(found) == (verdicts == EQUAL)
    assert capfd.readouterr() == ("", "")  # nothing of what it prints
    assert os.listdir(tmp_path) == [f"{name}.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_memory_and_files_are_limited(tmp_path):
    (tmp_path / "a.py").write_text(inside("hog = np.empty(2**29)"))
    assert "MemoryError: Unable to allocate 4.00 GiB" in grade.grade(tmp_path / "a.py", seconds=60).remarks
    (tmp_path / "a.py").write_text(inside("open('disk', 'wb').write(bytes(2**25))"))
    assert "File too large" in grade.grade(tmp_path / "a.py", seconds=60).remarks


def test_time_is_limited(tmp_path):
    (tmp_path / "a.py").write_text(inside("while True: print('x' * 10**6)"))
    began = time.monotonic()
    assert grade.grade(tmp_path / "a.py", seconds=1.5).remarks == "took longer than 1.5 seconds"
    assert time.monotonic() - began < 60


def test_nothing_is_left_running(tmp_path):
    started, left = tmp_path / "started", tmp_path / "left"
    child = f"import time; open({str(started)!r}, 'w'); time.sleep(2); open({str(left)!r}, 'w')"
    wait = f"while not os.path.exists({str(started)!r}): pass"
    (tmp_path / "a.py").write_text(
        f"import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n{wait}\n{RIGHT}"
    )
    assert grade.grade(tmp_path / "a.py", seconds=60)
    time.sleep(2.5)
    assert started.exists() and not left.exists()


def test_a_folder_is_graded_as_a_table_and_as_json(tmp_path, capsys):
    (tmp_path / "anna.py").write_text(RIGHT)
    assert main(["grade", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"anna.py": {"mark": 1.0, "right": 4, "parts": 4, "verdicts": {"score_by_hand": EQUAL}}}
    (tmp_path / "\x1b[31m.py").write_text(RIGHT.replace('"b": delta', '"b": a').replace("W.T", "-W.T"))
    (tmp_path / "notes.txt").write_text("not a submission")
    assert main(["grade", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert_shown(out + err)
    remarks = "b: equals the value of sigmoid, not a gradient; x: the sign is flipped"
    assert f"\\x1b[31m.py  2/4   {remarks}\n" in out and out.endswith("1 of 2 submissions are right\n")
    assert "anna.py      4/4   all are right\n" in out
    assert err.splitlines() == ["1/2  \\x1b[31m.py", "2/2  anna.py"]


def test_any_gradient_of_the_slides_can_be_asked_for(tmp_path, capsys):
    (tmp_path / "a.py").write_text(RIGHT + "def neuron_by_hand(w, b, x):\n    return [x, 1.0, w]\n")
    assert main(["grade", str(tmp_path), "--function", "score_by_hand", "--function", "neuron_by_hand"]) == 1
    out = capsys.readouterr().out
    assert "a.py        4/7   neuron_by_hand: missing the factor a*(1-a), the derivative of sigmoid\n" in out
    assert "score_by_hand" in grade.DERIVATIONS and "erratum_by_hand" not in grade.DERIVATIONS
    assert len(grade.DERIVATIONS) == sum(d.claim for d in grade.slides.DERIVATIONS)  # no two of one name


def test_zeros_are_not_the_gradient_of_a_hinge_and_neither_is_none_of_its_indicator(tmp_path):
    name, file = "hinge_of_scores_by_hand", tmp_path / "a.py"
    for gradients in "{'s': 0.0 * s, 's_c': 0.0 * s}", "{'s': -1.0, 's_c': 1.0}":
        file.write_text(f"def {name}(s, s_c): return {gradients}")
        assert grade.grade(file, [name]).right == 0
    file.write_text(f"def {name}(s, s_c):\n    on = 1.0 * (1 - s + s_c > 0)\n    return -on, on")
    assert grade.grade(file, [name])


@pytest.mark.parametrize(
    "answer",
    ["", "[" * 10**6, "{}", '{"gradients": [1, 2, 3]}', '{"gradients": [[[0, 1e999], []]]}', "{x", '{"problem": 1}']
    + [f'{{"gradients": [{{"alone": {g}}}]}}' for g in ("[[2], [1.0]]", f"[[0, {10**30}], []]", "[[-1], [1.0]]", "[]")],
)
def test_only_gradients_are_read(answer, tmp_path, monkeypatch):
    def exit_code(folder, words, seconds):
        Path(folder, "returned.json").write_text(answer)
        return 0

    monkeypatch.setattr(grade, "exit_code", exit_code)
    with pytest.raises(grade.Failed, match="returned no gradients that can be read"):
        grade.returned(tmp_path / "a.py", "f", [{}], 1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "No such file"),
        (["."], "grade needs a folder with files *.py, got ."),
        ([".", "--seconds", "0"], "--seconds needs a time above 0, got 0"),
        ([".", "--seconds", "nan"], "--seconds needs a time above 0, got nan"),
    ],
)
def test_mistakes_in_its_use(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_function_that_the_slides_do_not_have(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["grade", str(tmp_path), "--function", "nothing_by_hand"])
    assert stop.value.code == 2 and "score_by_hand" in capsys.readouterr().err


def test_examples_run():
    assert doctest.testmod(grade).failed == 0
