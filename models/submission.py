"""A function of a submission, in a process of its own: `grade` runs `python submission.py FILE NAME SECONDS MEMORY`.

It reads the arguments of each call from arguments.json in the working directory, and writes the gradients returned, or
why there are none, to returned.json. The process that reads that file trusts nothing in it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 2**24  # bytes of a file that it writes


def limit(seconds: int, memory: int) -> None:
    """Let the system end this process where it computes for longer, or needs more bytes of memory."""
    try:
        import resource
    except ImportError:  # Windows, where the time limit of the process that waits for this one is all there is
        return
    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, LARGEST),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]  # a limit may be lowered, never raised
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def load(file: str) -> Any:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location("submission", file)
    assert spec is not None and spec.loader is not None
    sys.modules["submission"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoded(gradients: Any) -> dict[str, Any]:
    """Gradients in the forms that `mg.compare` takes, for JSON."""
    if isinstance(gradients, Mapping):
        return {"by name": [[str(name), numbers(g)] for name, g in gradients.items()]}
    if isinstance(gradients, tuple | list):
        return {"in order": [numbers(g) for g in gradients]}
    return {"alone": None if gradients is None else numbers(gradients)}


def numbers(g: Any) -> Any:
    """The shape and the elements of an array; of what holds no real numbers, its type."""
    a = np.asarray(g)
    return [a.shape, a.astype(float).ravel().tolist()] if a.dtype.kind in "biuf" else f"{type(g).__name__} ({a.dtype})"


def main(file: str, name: str, seconds: str, memory: str) -> None:
    place = Path("returned.json").absolute()

    def write(answer: dict[str, Any]) -> None:
        place.write_text(json.dumps(answer), encoding="utf-8")

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == file]
        write({"problem": f"{kind.__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")})

    sys.excepthook = report
    calls = json.loads(Path("arguments.json").read_text("utf-8"))
    limit(int(seconds), int(memory))
    function = getattr(load(file), name, None)
    if callable(function):
        write({"gradients": [encoded(function(*(np.array(x)[()] for x in call))) for call in calls]})
    else:
        write({"problem": f"needed a function {name}, got none"})


if __name__ == "__main__":
    main(*sys.argv[1:])
