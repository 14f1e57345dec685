"""Checks of a listing: executed line by line, compared with its comments, searched for dead lines and noise."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

# the parts of a listing


def statements(source: str) -> list[ast.stmt]:
    return next(node for node in reversed(ast.parse(source).body) if isinstance(node, ast.FunctionDef)).body


def walked(d: Any, args: tuple[Any, ...]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each line of a listing, what it assigns to, and all that has a value after it."""
    *_, function = (node for node in ast.parse(d.source).body if isinstance(node, ast.FunctionDef))
    names = [argument.arg for argument in function.args.args]
    scope: dict[str, Any] = {"np": np}
    exec(d.source, scope)
    scope |= dict(zip(names, [*args, *d.latest.captured(*args)], strict=True))
    lines = d.source.splitlines()
    with np.errstate(all="ignore"):
        for statement in function.body[:-1]:
            exec(compile(ast.Module([statement], []), "listing", "exec"), scope)
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(target, ast.Name):
                yield lines[statement.lineno - 1], target.id, scope


def check_comments(d: Any, args: tuple[Any, ...]) -> int:
    """A comment gives the shape of every array that is computed, and no other; how many there were."""
    count = 0
    for line, name, scope in walked(d, args):
        told = re.search(r"# .*?shape (\(.*?\))$", line)
        if isinstance(scope[name], np.ndarray) and scope[name].ndim and not re.match(r"\s*\w+ = \w+[.\[]\S*$", line):
            assert told and ast.literal_eval(told[1]) == scope[name].shape, line
            count += 1
        else:
            assert not told or np.shape(scope[name]) == ast.literal_eval(told[1]), line
    return count


def dead(source: str) -> set[str]:
    """Names that a listing assigns to and never uses."""
    nodes = [node for s in statements(source) for node in ast.walk(s) if isinstance(node, ast.Name)]
    stored = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return stored - {node.id for node in nodes if isinstance(node.ctx, ast.Load)}


NOISE = re.compile(
    r"(?<![\w.\])])1 \* |\* 1(?![\d.\w])|[+-] 0(?![\d.\w]| \*)|/ 1(?![\d.\w])|\*\* 1(?![\d.\w])|--|- -|\+ -"
)


class Watched(ast.NodeTransformer):
    """Lets every reshape and astype of a listing be seen."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "np"
        if method and node.func.attr in ("reshape", "astype"):
            return ast.Call(ast.Name("see", ast.Load()), [node.func.value, node], [])
        return node


def idle(d: Any, args: tuple[Any, ...]) -> int:
    """How many reshapes and changes of dtype change nothing."""
    seen = []

    def see(before: Any, after: Any) -> Any:
        seen.append((np.shape(before), np.result_type(before)) == (np.shape(after), np.result_type(after)))
        return after

    scope = {"np": np, "see": see}
    tree = ast.fix_missing_locations(Watched().visit(ast.parse(d.source)))
    with np.errstate(all="ignore"):
        exec(compile(tree, "listing", "exec"), scope)
        scope[d.latest.program.name](*args, *d.latest.captured(*args))
    return sum(seen)


def check_listing(d: Any, args: tuple[Any, ...]) -> None:
    assert not dead(d.source), d
    assert not NOISE.search(re.sub(r"#.*", "", d.source)), d
    assert not idle(d, args), d
    check_comments(d, args)
