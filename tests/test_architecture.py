"""Which module may import which, what an op body may say, and how long the engine may be."""

import ast
import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "minigrad").rglob("*.py"))

#: A module imports only from what is listed before it. An entry is a module, a package whose modules may import one
#: another, or a package and its modules in order; a package may be listed in parts.
ORDER: list[str | tuple[str, list[str]]] = [
    "text",
    "origin",
    "errors",
    "hints",
    "mode",
    "operands",
    ("viz", ["formats"]),  # a notebook shows a Tensor with it
    "sparse",
    "node",
    "engine",
    "walk",
    "shorthand",
    "ops",
    "_tensor",
    "trees",
    "reach",
    "generators",
    "batched",
    "batch_rules",
    "mapping",
    "transforms",
    "files",
    "saving",
    "anomalies",
    "ranks",
    ("check", ["numeric", "terms", "compare"]),
    (
        "viz",
        ["names", "folding", "formulas", "mathematics", "zeros", "graph", "patterns", "notation", "sheet", "unfold"],
    ),
    ("viz", ["questions", "command", "dot", "draw", "layout"]),
    (
        "compiler",
        ["source", "examples", "program", "layout", "views", "tracer", "names", "stand_ins", "world", "differentiable"],
    ),
    ("compiler", ["record", "rules", "simplify"]),
    (
        "viz",
        ["live", "costs", "training", "replay"],
    ),  # the page computes the program that the compiler makes
    ("compiler", ["inplace", "schedule", "identifiers", "printer"]),
    ("compiler", ["dialects.readable", "dialects.fast", "dialects.numba", "dialects.loops", "dialects.mathematics"]),
    ("compiler", ["disk_cache", "jit", "guards", "audit", "specialization", "api"]),
]
PUBLIC_ONLY = ["optim", "nn"]  # written on public names, as a user would write them, and on RowSparse gradients

MODULES = [
    name
    for entry in ORDER
    for name in ([entry] if isinstance(entry, str) else [f"{entry[0]}.{module}" for module in entry[1]])
]
PACKAGES = {name.rpartition(".")[0] for name in MODULES} - {""}


def module(path: Path) -> str:
    """The dotted name of a file's module inside minigrad, "" for the package itself."""
    parts = path.relative_to(ROOT / "minigrad").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def listed(name: str) -> str:
    """The entry of a module: its own name, or that of its package where that is listed as a whole."""
    return name if name in MODULES else name.split(".")[0]


NAMES = {module(path) for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = node.module == "minigrad" or whole.removeprefix("minigrad.") in NAMES
                found.add(whole if is_module else str(node.module))
    return found


def importable(name: str) -> set[str]:
    """The entries that a module may import from: those before its own, and its own where that is a whole package."""
    if name in PUBLIC_ONLY:
        return {"Tensor", "no_grad", "sparse", "_tensor", "trees", "engine", "operands", "text", "ranks"}
    return set(MODULES[: MODULES.index(listed(name)) + 1])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_do_not_import_upwards(path: Path) -> None:
    name = module(path)
    inside = {listed(name.removeprefix("minigrad.")) for name in imports(path) if name.startswith("minigrad.")}
    if name in PACKAGES:
        assert not inside, "a package's __init__ has only a docstring, so that no submodule hides a function"
    elif name:
        assert inside <= importable(name)


def test_the_order_lists_every_module() -> None:
    listed_names = {listed(name) for name in NAMES - PACKAGES - {"", *PUBLIC_ONLY}}
    assert listed_names == set(MODULES)


def test_readme_lists_the_modules_in_their_order() -> None:
    table = re.findall(r"^\| (`minigrad/.*?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    words = re.findall(r"`(?:minigrad/)?(\w+)(?:\.py|/)`", " ".join(table))
    entries = [entry if isinstance(entry, str) else entry[0] for entry in ORDER]
    in_order = sorted(set(entries), key=lambda name: len(entries) - entries[::-1].index(name))
    assert words == [*in_order, *(name for name in PUBLIC_ONLY if name in NAMES)]


def test_the_order_holds_inside_packages_too() -> None:
    assert {"viz.names", "viz.formats", "check.compare", "ops"} < importable("viz.graph")
    assert not {"viz.notation", "viz.draw", "viz"} & importable("viz.graph")
    assert "ops" in importable("ops.reduce") and "_tensor" not in importable("ops.reduce")
    assert "viz.names" not in importable("_tensor")


@pytest.mark.parametrize("package", ["check", "viz"])
def test_graphs_are_read_through_walk(package: str) -> None:
    assert not [path for path in FILES if module(path).split(".")[0] == package and "._edges" in code(path)]


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if listed(module(p)) in ("engine", "ops", "viz.formats", "sparse", "_tensor")],
    ids=lambda p: p.name,
)
def test_the_core_needs_numpy_only(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "minigrad"} | ({"scipy"} if path.name == "special.py" else set())
    if path.name == "engine.py":
        assert {name for name in imports(path) if name.startswith("minigrad")} <= {
            "minigrad.errors",
            "minigrad.mode",
            "minigrad.node",
            "minigrad.operands",
        }


@pytest.mark.parametrize("name", ["engine", "nn"])
def test_a_module_can_be_read_in_one_sitting(name: str) -> None:
    assert len((ROOT / "minigrad" / f"{name}.py").read_text().splitlines()) <= 300


FORBIDDEN = {
    "asks for a NumPy array": r"isinstance\([^)]*\bndarray|type\([^)]*\) is np\.ndarray",
    "turns data into a NumPy array": r"np\.as(any|contiguous)?array\(",
    "creates from nothing": r"np\.(zeros|ones|empty|full|eye|identity|tri|arange|indices)\(",
    "tells a reduction NumPy's defaults": r"np\.(sum|prod|max|min|mean|var|std)\([^()]*(where|initial)=",
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("path", [p for p in FILES if listed(module(p)) == "ops"], ids=lambda p: p.name)
def test_op_bodies_speak_for_any_array(path: Path, what: str) -> None:
    assert not re.search(FORBIDDEN[what], code(path)), what


def test_what_is_forbidden_would_be_found() -> None:
    lines = ["isinstance(x, np.ndarray)", "np.asarray(x)", "np.arange(3)", "np.sum(x, where=mask)"]
    assert [bool(re.search(p, line)) for p, line in zip(FORBIDDEN.values(), lines, strict=True)] == [True] * 4
    assert not any(re.search(p, "np.zeros_like(g, shape=s)") for p in FORBIDDEN.values())


def code(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize(
    "path",
    [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml"} and ".venv" not in p.parts],
    ids=lambda p: p.name,
)
def test_no_paths_of_one_machine(path: Path) -> None:
    private = re.compile("/(" + "|".join(["home", "root", "Users", "work", "tmp"]) + r")/\w")
    assert not private.search(path.read_text())


def test_the_ops_stay_small() -> None:
    """Their lines of code, without docstrings and comments."""
    assert sum(written(p) for p in FILES if listed(module(p)) == "ops") < 1600


def written(path: Path) -> int:
    """The lines of a file that hold code."""
    text = path.read_text()
    lines = {i for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def run(code: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_minigrad_loads_what_everybody_needs() -> None:
    slow = {
        "minigrad.ops.special",
        "minigrad.batched",
        "minigrad.mapping",
        "minigrad.transforms",
        "scipy",
        "inspect",
        "dataclasses",
        "ast",
        "graphviz",
        "numpy.ma",
        "numpy.testing",
        "numpy.f2py",
        "sysconfig",
    }
    later = {f"minigrad.{name}" for name in [*MODULES[MODULES.index("check.numeric") :], *PACKAGES, *PUBLIC_ONLY]}
    code = "import sys, numpy; before = {*sys.modules}; import minigrad; print(*sys.modules.keys() - before)"
    loaded = set(run(code).split())
    assert "minigrad.engine" in loaded
    assert not loaded & (slow | later)


def test_no_module_hides_something_public() -> None:
    names = sorted(NAMES - {""})
    load = "\n".join(f"import minigrad.{name}" for name in names)
    public = sorted({name for name in dir(mg) if name[0] != "_"} - {"fft", "linalg", "nn", "optim"})
    code = f"{load}\nprint(*(name for name in {public} if not callable(getattr(minigrad, name))))"
    assert run(code).split() == []


def test_what_is_loaded_later_is_listed_and_what_is_not_there_is_named() -> None:
    assert {"derive", "optim", "grad", "exp"} <= set(mg.__all__) <= set(dir(mg))
    code = "from minigrad import *; print(derive.__name__, optim.SGD.__name__, 'Any' in globals(), sum, compile)"
    assert run(code) == f"derive SGD False {sum} {compile}\n"
    assert {*dir(mg)} - {*mg.__all__, *dir(builtins)} == {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'derivative'"):
        mg.derivative  # noqa: B018


def test_names_of_the_version_before_work_and_warn() -> None:
    with pytest.warns(DeprecationWarning, match=r"mg\.place is called mg\.scatter_add now"):
        assert mg.place is mg.scatter_add
    with pytest.warns(DeprecationWarning, match=r"mg\.rows_of is called mg\.scatter_rows now"):
        assert mg.rows_of is mg.scatter_rows
