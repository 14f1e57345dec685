"""`python -m models grade FOLDER`: the gradients that each file of a folder derives by hand, compared and marked."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, islice
from operator import not_
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.check.compare import given_gradients
from minigrad.text import shortened
from models import slides, submission, terminal
from models.slides import Arguments, Derivation

Array = Any
Verdicts = dict[str, str]  # by the name of the argument: "equal", or the mistake

#: What a submission may define: the names of the slides' gradients by hand.
DERIVATIONS = {d.by_hand.__name__: d for d in slides.DERIVATIONS if d.claim}
DRAWS = 3  # points at which each gradient is compared, and one more of a margin that is met
MEMORY = 2**31  # bytes that a submission may use


@dataclass(frozen=True)
class Grade:
    """The verdicts on one submission, by function and argument."""

    verdicts: dict[str, Verdicts]

    @property
    def right(self) -> int:
        """The number of gradients that are right."""
        return sum(verdict == "equal" for function in self.verdicts.values() for verdict in function.values())

    @property
    def parts(self) -> int:
        return sum(map(len, self.verdicts.values()))

    def __bool__(self) -> bool:
        return self.right == self.parts

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings; the mark is the fraction of the gradients that are right."""
        return {"mark": self.right / self.parts, "right": self.right, "parts": self.parts, "verdicts": self.verdicts}

    @property
    def remarks(self) -> str:
        """The mistakes, each with the gradients that have it."""
        found = []
        for name, verdicts in self.verdicts.items():
            for mistake in dict.fromkeys(verdict for verdict in verdicts.values() if verdict != "equal"):
                where = [argument for argument, verdict in verdicts.items() if verdict == mistake]
                which = [name] * (len(self.verdicts) > 1) + [", ".join(where)] * (len(where) < len(verdicts))
                found.append(": ".join([*filter(None, [" ".join(which)]), mistake]))
        return "; ".join(found)


def grade(file: Path, functions: Sequence[str] = ("score_by_hand",), seconds: float = 10.0) -> Grade:
    """Compare the gradients that a file derives by hand with autograd's, at a few random points.

    >>> path = Path(tempfile.mkdtemp(), "mine.py")
    >>> _ = path.write_text("def score_of_activations_by_hand(U, a): return {'U': a, 'a': -U}")
    >>> mine = grade(path, ["score_of_activations_by_hand"])
    >>> mine.right, mine.verdicts["score_of_activations_by_hand"]["a"]
    (1, 'the sign is flipped')

    Each function runs in a process of its own, which sends back numbers and nothing else, and is ended after so many
    seconds or when it needs more than 2 GiB (the latter not on Windows). That keeps mistakes apart, but is no jail: a
    submission may do on this machine whatever its user may.

    Args:
        functions: names of `DERIVATIONS`; each takes the arguments of the slides' formulas, and returns the gradients
            in the forms that `mg.compare` takes.
    """
    verdicts = {}
    for name in functions:
        derivation = DERIVATIONS[name]
        drawn = list(islice(slides.random_arguments(derivation), 20))
        lossy = [derivation.f(*point.values()) != 0 for point in drawn]  # at the others a hinge's gradients are all 0
        points = [*compress(drawn, lossy)][:DRAWS] + [*compress(drawn, map(not_, lossy))][:1]
        try:
            found = [compared(derivation, point, g) for point, g in zip(points, returned(file, name, points, seconds))]
        except Failed as failure:
            found = [dict.fromkeys(derivation.formulas, str(failure))]
        worst = {argument: [v[argument] for v in found if v[argument] != "equal"] for argument in derivation.formulas}
        verdicts[name] = {argument: mistakes[0] if mistakes else "equal" for argument, mistakes in worst.items()}
    return Grade(verdicts)


class Failed(Exception):
    """A submission that returned no gradients; the message says why."""


def compared(derivation: Derivation, arguments: Arguments, gradients: Any) -> Verdicts:
    """The verdict on each gradient at one point."""
    names = [name for name, x in arguments.items() if np.asarray(x).dtype.kind == "f"]
    try:
        given = given_gradients(gradients, names)
    except (TypeError, ValueError) as error:
        raise Failed(shortened(error, 200)) from None
    verdicts = {name: "is missing" for name in derivation.formulas}
    for name in given.keys() & verdicts.keys():
        if given[name].dtype.kind != "f":  # the kind of what is no array of numbers
            verdicts[name] = f"needs numbers, got {shortened(given[name], 50)}"
    numbers = {name: g for name, g in given.items() if verdicts.get(name) == "is missing"}
    report = mg.compare(derivation.f, lambda *_: numbers, *arguments.values())
    return verdicts | {row.argument: row.verdict for row in report}


def returned(file: Path, name: str, points: Sequence[Arguments], seconds: float) -> list[Any]:
    """The gradients that a function of a file returns at each point, computed in another process."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        calls = [[np.asarray(x).tolist() for x in point.values()] for point in points]
        Path(folder, "arguments.json").write_text(json.dumps(calls), encoding="utf-8")
        code = exit_code(folder, [str(file.absolute()), name, str(math.ceil(seconds) + 1), str(MEMORY)], seconds)
        answer = Path(folder, "returned.json")
        if not answer.is_file():  # it may be a pipe, which would be waited for
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            raise Failed(f"ended before it returned, with {how}")
        with open(answer, "rb") as opened:
            text = opened.read(submission.LARGEST + 1)
    try:
        if len(text) > submission.LARGEST:
            raise ValueError
        match json.loads(text):
            case {"problem": str(problem)}:
                raise Failed(shortened(problem, 200))
            case {"gradients": [*gradients]} if len(gradients) == len(points):
                return [decoded(g) for g in gradients]
        raise ValueError
    except (ValueError, OverflowError, RecursionError):  # it was not written by `submission`, or not to the end
        raise Failed("returned no gradients that can be read") from None


def exit_code(folder: str, words: Sequence[str], seconds: float) -> int:
    """Run `submission` in a folder, with nothing to read and nowhere to print; the exit code."""
    path = os.pathsep.join([str(Path(mg.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", submission.__file__, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that what it starts can be ended with it
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {seconds:g} seconds") from None
    finally:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def decoded(gradients: Any) -> Any:
    """Gradients as `submission.encoded` writes them, else a ValueError; what is no array of numbers is a string."""
    match gradients:
        case {"by name": [*pairs]} if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return {str(name): _array(g) for name, g in pairs}
        case {"in order": [*listed]}:
            return [_array(g) for g in listed]
        case {"alone": g}:
            return None if g is None else _array(g)
    raise ValueError


def _array(g: Any) -> Any:
    match g:
        case str():
            return g
        case [[*shape], [*values]] if all(type(n) is int and n >= 0 for n in shape):
            if all(type(v) is float for v in values):
                return np.array(values, float).reshape(shape)
    raise ValueError


def options(sub: argparse.ArgumentParser) -> None:
    """The options of the command."""
    sub.add_argument("folder", metavar="FOLDER", type=Path, help="each file *.py in it is a submission")
    sub.add_argument(
        "--function",
        metavar="NAME",
        action="append",
        choices=DERIVATIONS,
        help=f"what each has to define; may be repeated (default: score_by_hand): {', '.join(DERIVATIONS)}",
    )
    sub.add_argument("--seconds", type=float, default=10.0, help="the time limit of each function (default: 10)")
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    sub.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """The command."""
    if not 0 < options.seconds < math.inf:
        raise ValueError(f"--seconds needs a time above 0, got {options.seconds:g}")
    files = sorted(file for file in options.folder.iterdir() if file.suffix == ".py" and file.is_file())
    if not files:
        raise ValueError(f"grade needs a folder with files *.py, got {options.folder}")
    grades: dict[str, Grade] = {}
    with terminal.progress() as show:
        for i, file in enumerate(files, 1):
            functions = dict.fromkeys(options.function or ["score_by_hand"])
            grades[file.name] = grade(file, list(functions), options.seconds)
            show(terminal.Counted(i, len(files), file.name))
    if options.json:
        print(json.dumps({name: found.to_dict() for name, found in grades.items()}))
    else:
        print_grades(grades)
    return 0 if all(grades.values()) else 1


def print_grades(grades: Mapping[str, Grade]) -> None:
    rows = [[name, f"{found.right}/{found.parts}", found.remarks or "all are right"] for name, found in grades.items()]
    terminal.table("Gradients by hand", ["submission", "mark", "remarks"], rows)
    terminal.say(f"{sum(map(bool, grades.values()))} of {len(grades)} submissions are right")
