"""Every public name starts with an example, and every example is run."""

import doctest
import importlib
import inspect
import pkgutil
import typing
from typing import Any

import numpy as np
import pytest

import minigrad as mg

MODULES = ["minigrad", *(m.name for m in pkgutil.walk_packages(mg.__path__, "minigrad."))]


def public(module: Any) -> dict[str, Any]:
    """The functions and classes a module offers as its own, or the package's."""
    return {
        f"{module.__name__}.{name}": value
        for name in dir(module)
        for value in [getattr(module, name)]
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "").startswith("minigrad")
    }


PUBLIC = public(mg) | public(mg.optim)


@pytest.mark.parametrize("name", PUBLIC)
def test_starts_with_an_example(name: str) -> None:
    summary, *rest = (inspect.getdoc(PUBLIC[name]) or "").split("\n\n")
    assert summary and not summary.startswith(">>>"), "needs a sentence"
    assert any(paragraph.startswith(">>>") for paragraph in rest[:2]), "needs an example near its start"


def test_every_method_says_what_it_does() -> None:
    """Of the public classes, and of those whose objects public functions return."""
    shown = {**PUBLIC, **{f"nn.{name}": getattr(mg.nn, name) for name in mg.nn.__all__}}
    classes = {value for value in shown.values() if isinstance(value, type)}
    for f in shown.values():
        returned = typing.get_type_hints(f).get("return") if inspect.isfunction(f) else None
        returned = typing.get_origin(returned) or returned
        if getattr(returned, "__module__", "").startswith("minigrad."):
            classes.add(returned)
    assert {"Tensor", "Derived", "Report", "Comparisons", "Page", "Block", "Adam", "Linear"} <= {
        c.__name__ for c in classes
    }
    silent = [
        f"{kind.__name__}.{name}"
        for kind in classes
        for name, member in vars(kind).items()
        if (not name.startswith("_") or name == "__call__") and not isinstance(member, mg._tensor.Absent)
        if isinstance(member, property | classmethod) or callable(member)
        if not inspect.getdoc(member)
    ]
    assert silent == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    globs = vars(module) | {"np": np, "mg": mg}
    assert doctest.testmod(module, globs=globs, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
