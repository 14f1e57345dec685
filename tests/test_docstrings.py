"""Every public name starts with an example, and every example is run."""

import doctest
import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import minigrad as mg

MODULES = ["minigrad", *(m.name for m in pkgutil.walk_packages(mg.__path__, "minigrad."))]


def public(module: Any) -> dict[str, Any]:
    """The functions and classes a module offers as its own, or the package's."""
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "").startswith("minigrad")
    }


PUBLIC = public(mg) | public(mg.optim)


@pytest.mark.parametrize("name", PUBLIC)
def test_starts_with_an_example(name: str) -> None:
    summary, *rest = (inspect.getdoc(PUBLIC[name]) or "").split("\n\n")
    assert summary and not summary.startswith(">>>"), "needs a sentence"
    assert any(paragraph.startswith(">>>") for paragraph in rest[:2]), "needs an example near its start"


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    globs = vars(module) | {"np": np, "mg": mg}
    assert doctest.testmod(module, globs=globs, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
