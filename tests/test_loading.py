"""Modules that are loaded again, and Python without docstrings and asserts."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(__file__).parent.parent

#: What minigrad does, in one program.
CORE = """
import numpy as np
import minigrad as mg
for name in dir(mg):
    getattr(mg, name)
kept = mg.Tensor([1.0, 2.0], name="kept")
# reload
def f(x):
    return mg.sum(mg.sigmoid(x) * np.exp(x) * x[0])
for x in (kept, mg.Tensor([1.0, 2.0])):
    f(x).backward()
    if not np.allclose(x.grad, mg.grad(f)(x.data), rtol=1e-14):
        raise SystemExit("another gradient")
report = mg.gradcheck(f, np.array([1.0, 2.0]))
with mg.no_grad():
    recorded = bool((kept * kept)._edges)
if recorded or (kept * kept)._stamp > kept._stamp or report.wrong:
    raise SystemExit("wrong")
table = mg.Tensor(np.ones((4, 2)))
mg.sum(mg.embedding(table, [1, 1])).backward()
mg.optim.Adam([table], lr=0.1).step()
with mg.trace_source(), mg.debug(), mg.scope("f"):
    y = f(kept)
try:
    np.copysign(kept, 1.0)
except TypeError as error:
    print("np.sign" in str(error), mg.draw(y).source.count("cluster"), mg.hessian(f)(np.ones(2)).shape)
"""
PRINTS = "True 1 (2, 2)\n"


def run(code: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_every_module_can_be_reloaded() -> None:
    """One after the other. (The compiler's and the formulas' hold classes that their neighbours compare with.)"""
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in sorted((ROOT / "minigrad").rglob("*.py"))]
    modules = [
        ".".join(p[:-1] if p[-1] == "__init__" else p)
        for p in parts
        if not {"compiler", "formulas", "mathematics"} & {*p}
    ]
    code = f"""
import importlib
for module in {modules}:
    module = importlib.import_module(module)
    importlib.reload(module)
    print(module.__name__, end=" ")
    exec({CORE!r}, {{}})
"""
    assert run(code) == "".join(f"{module} {PRINTS}" for module in modules)


def test_a_tensor_from_before_a_reload_works_on() -> None:
    code = CORE.replace("# reload", "import importlib; importlib.reload(mg.engine); importlib.reload(mg.mode)")
    assert run(code) == PRINTS


def test_the_package_is_reloaded_in_place() -> None:
    gradient, x = mg.grad, mg.Tensor(3.0)
    assert importlib.reload(mg) is mg and mg.grad is gradient and isinstance(x, mg.Tensor)


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_python_without_asserts_and_docstrings(option: str) -> None:
    compiled = "d = mg.derive(f, np.ones(2))\nprint(d(np.ones(2))[0] == f(np.ones(2)), 'np.exp' in str(d))\n"
    trained = "import models.window\nprint(models.window.score.__name__)\n"
    assert run(CORE + compiled + trained, option) == PRINTS + "True True\nscore\n"
