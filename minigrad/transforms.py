"""Functions of functions: grad, value_and_grad, elementwise_grad, vjp, jvp, jacobian, hessian, hvp, checkpoint.

They take a function of arrays (or of dicts, lists, tuples and dataclasses of arrays) and return a function of
arrays. Inside another transform, and for Tensors, the results are Tensors, so that transforms nest to any order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minigrad._tensor import Tensor, checked_seed, conjugated, unit_seed
from minigrad.batched import bare, batching, enter, left
from minigrad.engine import Array, backward_pass, leaf, new, op, unrecorded
from minigrad.engine import stop_gradient as plain
from minigrad.errors import not_recorded
from minigrad.generators import State
from minigrad.mapping import named_after
from minigrad.mode import Block, mode
from minigrad.operands import constant, is_lazy, to_numpy
from minigrad.shorthand import made_like
from minigrad.trees import children, is_floating, leaves, map_leaves, matched, unflatten
from minigrad.walk import depends, entries

P = ParamSpec("P")
Y = TypeVar("Y")
Function = Callable[..., Any]
Argnums = int | str | Sequence[int | str]


def stop_gradient(x: Any) -> Any:
    """The value of x as a constant; of a container, the container of the values.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x * mg.stop_gradient(x))(3.0)
    np.float64(3.0)

    It is a copy, which graphs do not depend on: it may be changed, and does not change with x.
    """
    return map_leaves(_copy_of_value, x)


def _copy_of_value(x: Any) -> Any:
    return +x._data if isinstance(x, Tensor) and not mode.tracing else plain(x)


@op()
def identity(x: Array) -> Array:
    """x itself, as a new variable: a nested transform differentiates with respect to it."""
    return x, lambda g: g


def variable(x: Any) -> Tensor:
    """A fresh variable of the value of x, linked to x where that is a Tensor."""
    if isinstance(x, Tensor):
        fresh = identity(x).retain_grad()
    else:
        x = constant(x)
        x = x if hasattr(x, "__array_function__") else np.asarray(x)
        fresh = leaf(new(Tensor), x) if x.dtype.kind in "fc" else Tensor(x)  # Tensor says what is wrong
    if running := mode.transforms:
        running[-1].add(fresh._stamp)
    return fresh


def variables_of(tree: Any) -> Any:
    """An argument with fresh variables for its floating-point leaves; others (None, a string, integers) are kept."""
    if children(tree) is None:
        return variable(tree)
    fresh = map_leaves(lambda x: variable(x) if is_floating(x) else x, tree)
    flat = leaves(fresh)
    if flat and not _variables(flat):
        raise TypeError(f"needed a floating-point leaf to differentiate by, got {tree!r}; write 1.0 for 1")
    return fresh


def _variables(tree: Any) -> list[Tensor]:
    return [x for x in leaves(tree) if isinstance(x, Tensor)]


def _gradient_tree(tree: Any, found: Iterable[Any]) -> Any:
    """Gradients in the form of an argument, None for the leaves that were kept."""
    values = iter(found)
    return map_leaves(lambda x: next(values) if isinstance(x, Tensor) else None, tree)


@contextmanager
def transforming(*trees: Any) -> Iterator[Callable[..., bool]]:
    """Run a function on variables.

    Yields a function that returns whether values depend on a transform outside, or on a Tensor among `trees`: then the
    gradients of those values must be recorded.
    """
    outside, given = mode.transforms, bool(_variables(trees))

    def nested(*values: Any) -> bool:
        return given or any(depends(x, outside) for x in leaves(values))

    with Block(transforms=(*outside, set()), recording=True):
        yield nested


def gradients(outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool) -> list[Any]:
    """The gradient of several outputs with respect to variables: zeros for a variable that no output depends on."""
    found = reached_gradients(outputs, seeds, variables, record)
    return [np.zeros_like(x.data) if g is None else g for x, g in zip(variables, found)]


def reached_gradients(
    outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool
) -> list[Any]:
    """The same, None for a variable that no output depends on."""
    reached = [(y, g) for y, g in zip(outputs, seeds) if isinstance(y, Tensor)]
    for y, _ in reached:
        if y._kwargs is unrecorded:
            raise not_recorded(y)
    found: dict[int, Any] = {x._stamp: None for x in variables}
    if found:
        for x, g in backward_pass([y for y, _ in reached], [g for _, g in reached], record, max(found)):
            if x._stamp in found:
                found[x._stamp] = g
    return [found[x._stamp] for x in variables]


def numbers_in(value: Any, transform: str) -> list[Any]:
    """The leaves of a function's value that are numbers or arrays; in a container there may be others."""
    numbers = [y for y in leaves(value) if _kind(y) in _NUMBERS]
    if not numbers and leaves(value):
        got = _returned(value) if children(value) is None else f"a {type(value).__name__} of none"
        raise TypeError(f"{transform} needs a function that returns numbers or arrays, got {got}")
    return numbers


def _derivative_tree(value: Any, found: Sequence[Any]) -> Any:
    """Derivatives in the form of a value, None for leaves that are no numbers."""
    values = iter(found)
    return map_leaves(lambda y: next(values) if _kind(y) in _NUMBERS else None, value)


#: The kinds of dtypes that are numbers.
_NUMBERS = frozenset("iufc")


def _kind(x: Any) -> str:
    """The kind of number that a value is, as in dtype.kind: i, u, f or c; "" or another letter for none."""
    kind = getattr(getattr(x, "dtype", None), "kind", None)
    return kind or {int: "i", float: "f", complex: "c"}.get(type(x), "")


def _returned(value: Any) -> str:
    if value is None:
        return "None (is its return missing?)"
    if hasattr(value, "dtype"):
        return f"a value of dtype {value.dtype}"
    return f"a {type(value).__name__}" + (f" {value!r}" if isinstance(value, str) else "")


def _with_aux(value: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return value, None
    if not isinstance(value, tuple | list) or len(value) != 2:
        got = f"a {type(value).__name__}{f' of {len(value)}' if isinstance(value, tuple | list) else ''}"
        raise TypeError(f"has_aux=True needs a function that returns a pair (value, aux), got {got}")
    return value[0], value[1]


def _seed_of_scalar(value: Any, holomorphic: bool) -> Any:
    """The seed of a function's value, which has to be a real scalar: an array of one element is one too."""
    if children(value) is not None or _kind(value) not in _NUMBERS:
        hint = "; for further values use has_aux=True" if children(value) is not None else ""
        raise TypeError(f"grad needs a function that returns a real number, got {_returned(value)}{hint}")
    if math.prod(np.shape(value)) != 1:
        raise ValueError(f"grad needs a scalar, got shape {np.shape(value)}; see jacobian")
    if _kind(value) == "c" and not holomorphic:
        raise TypeError(
            "grad needs a function that returns a real number, got a complex one; take mg.real, mg.imag or mg.abs of "
            "it, or pass holomorphic=True for the derivative of a holomorphic function"
        )
    return unit_seed(value) if isinstance(value, Tensor) else np.ones_like(value, float)


def _check_holomorphic(outputs: Sequence[Any], variables: Sequence[Tensor]) -> None:
    """Raise an error where a derivative depends on the direction: df/db = i df/da (Cauchy and Riemann)."""
    for x in [*outputs, *variables]:
        if _kind(x) != "c":
            raise TypeError(f"holomorphic=True needs complex arguments and values, got {_returned(plain(x))}")
    if any(is_lazy(plain(x)) for x in [*outputs, *variables]):
        raise TypeError(
            "holomorphic=True compares values, which lazy arrays do not have yet; differentiate the real and the "
            "imaginary part"
        )
    seeds = [np.reshape(np.exp(1j * (1.0 + made_like(y, np.arange, y.size))), np.shape(y)) for y in outputs]
    seeds = [np.positive(g, dtype=y.dtype) for g, y in zip(seeds, outputs)]
    directions = seeds, [g * y.dtype.type(1j) for g, y in zip(seeds, outputs)]
    along_real, along_imaginary = (
        [to_numpy(bare(g)) for g in gradients(outputs, direction, variables, False)] for direction in directions
    )
    largest = max((float(np.max(np.abs(g), initial=0)) for g in [*along_real, *along_imaginary]), default=0.0)
    for g, h in zip(along_real, along_imaginary):
        tolerance = np.sqrt(np.finfo(g.dtype).eps)
        if not np.allclose(h, g * 1j, rtol=tolerance, atol=tolerance * largest, equal_nan=True):
            raise TypeError(
                "holomorphic=True needs a holomorphic function, got one whose derivative depends on the direction: it "
                "uses conj, abs, real, imag or the like; differentiate its real and its imaginary part"
            )


def _chosen(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums) -> list[int | str]:
    """The keys of the arguments to differentiate by: a number for a positional one, a name for a keyword."""
    keys: list[int | str] = []
    for key in [argnums] if isinstance(argnums, int | str) else argnums:
        if isinstance(key, str) and key not in kwargs:
            import inspect  # slow to import where NumPy has not done so, and seldom needed

            names = list(inspect.signature(f).parameters)
            if key not in names:
                raise TypeError(f"argnums={argnums!r} needs an argument {key}, got a function of {', '.join(names)}")
            key = names.index(key)
        if isinstance(key, int):
            if not -len(args) <= key < len(args):
                raise TypeError(f"argnums={argnums!r} needs an argument number {key}, got {len(args)} arguments")
            key %= len(args)
        keys.append(key)
    return keys


def _about(f: Function, transform: str) -> Callable[[Function], Function]:
    """Name a function after the transform and f, and copy the signature of f."""

    if not callable(f):
        got = "a Tensor; for the gradient of a computed value J call J.backward()" if isinstance(f, Tensor) else repr(f)
        raise TypeError(f"needed a function to differentiate, got {got}")

    return lambda g: named_after(f, transform, functools.wraps(f)(g))


def _call(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], instead: dict[int | str, Any]) -> Any:
    """f with some of its arguments replaced."""
    return f(*(instead.get(i, x) for i, x in enumerate(args)), **{k: instead.get(k, x) for k, x in kwargs.items()})


def _on_variables(
    f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums
) -> tuple[list[Any], Any]:
    """Fresh variables in place of the chosen arguments, and f's value on them."""
    given = dict(enumerate(args)) | kwargs
    chosen = _chosen(f, args, kwargs, argnums)
    trees = {key: variables_of(given[key]) for key in dict.fromkeys(chosen)}
    return [trees[key] for key in chosen], _call(f, args, kwargs, trees)


def value_and_grad(
    f: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, *, holomorphic: bool = False
) -> Callable[P, tuple[Any, Any]]:
    """A function that returns f's value and its gradient, from one forward and one backward pass.

    >>> import minigrad as mg
    >>> mg.value_and_grad(lambda x: mg.sum(x * x))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))

    Args:
        f: a function whose value is a real scalar: a number, or an array of one element.
        argnums: which argument to differentiate by, its number or its name; a tuple of them for a tuple of gradients.
        has_aux: f returns (value, aux), and the result is ((value, aux), gradient).
        holomorphic: f is a holomorphic function of complex arguments, and the gradient is its complex derivative f'(z).

    Returns:
        A function of the same arguments. A gradient has the form of its argument: an array for an array, a dict
        for a dict of arrays, in which leaves that are None, strings or integers have the gradient None. For complex
        arguments a + bi it is df/da + i df/db, as in PyTorch: to step against it is to go down. The gradient of a table
        that was looked up by `embedding` is a RowSparse.

    Raises:
        ValueError: where f's value is not a scalar.
        TypeError: where f's value is no real number, or an argument to differentiate by is not floating-point; where
            Python reads a value that depends on the arguments as a number (`float(x)`, `math.sin(x)`), as its gradient
            would be lost.
        RuntimeError: where f's value was computed under no_grad.
    """

    @_about(f, "value_and_grad")
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        with transforming(args, kwargs) as nested:
            trees, value = _on_variables(f, args, kwargs, argnums)
            value, aux = _with_aux(value, has_aux)
            seed, variables, record = _seed_of_scalar(value, holomorphic), _variables(trees), nested(value)
            if holomorphic:
                _check_holomorphic([value], variables)
            found = gradients([value], [seed], variables, record)
        if not record:
            value, aux = stop_gradient(value), stop_gradient(aux)
        gradient = _gradient_tree(trees, found if holomorphic else list(map(conjugated, found)))
        value = (value, aux) if has_aux else value
        return value, (gradient[0] if isinstance(argnums, int | str) else tuple(gradient))

    return value_and_gradient


def grad(
    f: Callable[P, Any], argnums: Argnums = 0, has_aux: bool = False, *, holomorphic: bool = False
) -> Callable[P, Any]:
    """A function that returns the gradient of f.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x**3)(2.0), mg.grad(mg.grad(lambda x: x**3))(2.0)
    (np.float64(12.0), np.float64(12.0))

    The arguments and errors are those of `value_and_grad`; with has_aux it returns (gradient, aux).
    """
    both = value_and_grad(f, argnums, has_aux, holomorphic=holomorphic)

    @_about(f, "grad")
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def elementwise_grad(f: Callable[P, Any], argnums: int | str = 0) -> Callable[P, Any]:
    """A function that returns the derivative of each element, for an f that works element by element.

    >>> import minigrad as mg
    >>> mg.elementwise_grad(np.tanh)(np.array([0.0, 1.0])).round(4)
    array([1.  , 0.42])

    For any other f it returns the sums of the columns of the Jacobian.

    Raises:
        TypeError: where f's values are complex; see jacobian.
    """

    @_about(f, "elementwise_grad")
    def derivative(*args: Any, **kwargs: Any) -> Any:
        (key,) = _chosen(f, args, kwargs, argnums)
        x = (dict(enumerate(args)) | kwargs)[key]
        value, pullback = vjp(lambda x: _call(f, args, kwargs, {key: x}), x)
        if any(_kind(y) == "c" for y in leaves(value)):
            raise TypeError(
                "elementwise_grad needs a function that returns real numbers, got complex ones; see jacobian"
            )
        return pullback(map_leaves(np.ones_like, value))[0]

    return derivative


def vjp(f: Function, *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f's value, and the pullback: the function that takes a gradient of the value to the gradients of the arguments.

    >>> import minigrad as mg
    >>> y, pullback = mg.vjp(lambda W, x: W @ x, np.eye(2), np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (array([[1., 2.],
           [0., 0.]]), array([1., 0.]))

    With has_aux, f returns (value, aux), and the result is (value, pullback, aux).

    Raises:
        ValueError: from the pullback, for a gradient of another shape or structure than the value.
        TypeError: as `value_and_grad` does.
    """
    with transforming(args) as nested:
        trees = [variables_of(tree) for tree in args]
        value, aux = _with_aux(f(*trees), has_aux)
        outputs, record = numbers_in(value, "vjp"), nested(value)

    def pullback(gradient: Any) -> tuple[Any, ...]:
        seeds = _seeds(value, gradient, "the gradient of the value", _NUMBERS)
        with transforming(gradient) as nested_now:
            found = gradients(outputs, list(map(conjugated, seeds)), _variables(trees), record or nested_now(value))
        return tuple(_gradient_tree(trees, map(conjugated, found)))

    outside, aux = (value, aux) if record else stop_gradient((value, aux))
    return (outside, pullback, aux) if has_aux else (outside, pullback)


def _seeds(tree: Any, other: Any, role: str, kinds: Any) -> list[Any]:
    """The leaves of another tree of the same form that belong to numbers, checked against these."""
    pairs = zip(leaves(tree), matched(tree, other, role))
    return [_seed(g, y) for y, g in pairs if _kind(y) in kinds]


def _seed(g: Any, y: Any) -> Any:
    if isinstance(g, Tensor) and g.shape == np.shape(y):
        return g
    return checked_seed(g, y) if isinstance(y, Tensor) else g


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative along tangents: how it changes when the arguments move that way.

    >>> import minigrad as mg
    >>> mg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 10.0]),))
    (array([1., 4.]), array([ 2., 40.]))

    There is no second set of rules: the pullback is linear in its argument, so the derivative of the
    pullback is the derivative of f transposed twice.

    Raises:
        ValueError: for tangents of another shape or structure than the arguments.
        TypeError: as `value_and_grad` does.
    """
    if not isinstance(args, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(
            "jvp needs a tuple of arguments and a tuple of tangents; write jvp(f, (x,), (v,)) for one argument"
        )
    with transforming(tuple(args), tuple(tangents)) as nested:
        trees = tuple(variables_of(tree) for tree in args)
        value = f(*trees)
        directions = _seeds(trees, tuple(tangents), "the tangents", "fc")
        outputs, record = numbers_in(value, "jvp"), nested(value)
        tangent = _pushed_forward(outputs, _variables(trees), record)(directions)
    return (value if record else stop_gradient(value)), _derivative_tree(value, tangent)


def _pushed_forward(
    outputs: Sequence[Any], variables: Sequence[Tensor], record: bool
) -> Callable[[Sequence[Any]], list[Any]]:
    """The function that maps directions of variables to derivatives of outputs: the pullback's pullback."""
    u = [leaf(new(Tensor), np.zeros_like(plain(y))) for y in outputs]
    pulled = gradients(outputs, u, variables, record=True)
    return lambda directions: gradients(pulled, directions, u, record)


def jacobian(
    f: Callable[P, Any], argnums: Argnums = 0, *, holomorphic: bool = False, chunk: int | None = None
) -> Callable[P, Any]:
    """A function that returns all partial derivatives of f: shape f's shape + x's shape.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])

    One forward pass, and a backward pass for the elements of f's value, many of them at once by `vmap`; or, where the
    arguments have fewer elements, a pass forward (as in `jvp`) for those. With containers in or out, the result has the
    form of the value, and in each of its places the form of the argument.

    Of a complex value u + iv of a real argument the derivative is du + i dv; of a real value of a complex argument it
    is that of `grad`; of complex values of complex arguments it is f'(z), for a holomorphic f.

    Args:
        f: a function whose value is an array, or a container of arrays.
        argnums: as in `value_and_grad`.
        holomorphic: f is a holomorphic function of complex arguments.
        chunk: for how many elements at once; by default for as many as keep all gradients of the pass together within
            256 MB.

    Raises:
        TypeError: as `value_and_grad` does; for complex values of complex arguments without holomorphic=True.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"jacobian needs a chunk of 1 or more, got {chunk}")

    @_about(f, "jacobian")
    def all_partials(*args: Any, **kwargs: Any) -> Any:
        with transforming(args, kwargs) as nested:
            trees, value = _on_variables(f, args, kwargs, argnums)
            outputs, variables = numbers_in(value, "jacobian"), _variables(trees)
            if holomorphic:
                _check_holomorphic(outputs, variables)
            elif {"c"} <= set(map(_kind, outputs)) & set(map(_kind, variables)):
                raise TypeError(
                    "jacobian of complex values with respect to complex arguments needs holomorphic=True, for a "
                    "holomorphic function; of another, differentiate the real and the imaginary part"
                )
            record = nested(value)
            many = chunk or _within_memory(outputs, variables)
            if sum(math.prod(np.shape(y)) for y in outputs) <= sum(x.size for x in variables):
                blocks = _by_rows(outputs, variables, record, holomorphic, many)
            else:
                blocks = _by_columns(outputs, variables, record, holomorphic, many)
        rows_by_output = [
            [_gradient_tree(tree, part) for tree, part in zip(trees, _parts(trees, row))] for row in blocks
        ]
        one = isinstance(argnums, int | str)
        return _derivative_tree(value, [row[0] if one else tuple(row) for row in rows_by_output])

    return all_partials


def _parts(trees: Sequence[Any], row: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """A row of blocks, one for each variable, in the parts that belong to each argument."""
    start = 0
    for tree in trees:
        count = len(_variables(tree))
        yield row[start : start + count]
        start += count


#: In bytes: what the gradients of a pass for several elements may take together.
MEMORY = 2**28


def _within_memory(outputs: Sequence[Any], variables: Sequence[Tensor]) -> int:
    """For how many elements a pass may run at once."""
    oldest = max((x._stamp for x in variables), default=0)
    found = {x._stamp: x for y in _variables(outputs) for x in entries(y) if x._stamp <= oldest}
    return max(1, MEMORY // max(1, sum(map(_nbytes, found.values()))))


def _nbytes(x: Any) -> int:
    x = bare(getattr(x, "_data", x))
    return math.prod(x.shape) * int(x.dtype.itemsize)


def _by_rows(
    outputs: Sequence[Any], variables: Sequence[Tensor], record: bool, holomorphic: bool, many: int
) -> list[list[Any]]:
    """The blocks of a Jacobian, by output and variable: backward passes from the elements of each output."""
    blocks = []
    for y in outputs:

        def pulled(seeds: Any, y: Any = y) -> list[Any]:
            return gradients([y], [seeds], variables, record)

        found = _for_each_element(pulled, y, variables, 1, many)
        found = found if holomorphic else list(map(conjugated, found))
        if not holomorphic and _kind(y) == "c":  # of u + iv: the seed 1 leads to du and the seed -i to dv
            found = [du + dv * 1j for du, dv in zip(found, _for_each_element(pulled, y, variables, -1j, many))]
        blocks.append(found)
    return blocks


def _by_columns(
    outputs: Sequence[Any], variables: Sequence[Tensor], record: bool, holomorphic: bool, many: int
) -> list[list[Any]]:
    """The same: passes forward along the elements of each variable."""
    pushed = _pushed_forward(outputs, variables, record)
    columns = []
    for k, x in enumerate(variables):
        zeros = [np.zeros_like(x._data) for x in variables]

        def along(direction: Any, k: int = k, zeros: list[Any] = zeros) -> list[Any]:
            return pushed([*zeros[:k], direction, *zeros[k + 1 :]])

        found = _for_each_element(along, x, outputs, 1, many)
        if not holomorphic and _kind(x) == "c":  # the gradient of a real value by a + bi is df/da + i df/db
            found = [da + db * 1j for da, db in zip(found, _for_each_element(along, x, outputs, 1j, many))]
        columns.append([_behind(part, np.ndim(x)) for part in found])
    return [list(row) for row in zip(*columns)] if columns else [[] for _ in outputs]


def _for_each_element(
    run: Callable[[Any], list[Any]], y: Any, results: Sequence[Any], unit: complex, many: int
) -> list[Any]:
    """The results of a linear function for all arrays like y with a single unit among zeros, so many at a time."""
    n, shape, chunks = math.prod(np.shape(y)), np.shape(y), []
    for start in range(0, n, many):
        basis = _basis(plain(y), n, unit)
        basis = basis if many >= n else basis[start : start + many]
        size = np.shape(basis)[0]
        with batching(size) as level:
            seeds = enter(np.reshape(basis, (size, *shape)), 0, level)
            chunks.append([left(part, 0, level) for part in run(seeds)])
    if not chunks:
        return [np.zeros(shape + np.shape(x), np.result_type(x)) for x in results]
    found = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*chunks)]
    return [np.reshape(part, shape + np.shape(x)) for part, x in zip(found, results)]


def _basis(y: Any, n: int, unit: complex) -> Any:
    """The unit matrix of n elements like those of y, times a unit."""
    y, dtype = bare(y), np.result_type(y)
    if is_lazy(y):  # Dask has no np.identity
        return np.asarray(np.identity(n, dtype) * dtype.type(unit), like=y)
    how = ({} if dtype == np.float64 else {"dtype": dtype}) | ({"like": y} if hasattr(y, "__array_function__") else {})
    one = np.identity(n, **how)  # of a tracer a call, where `made_like` would be a constant
    return one if unit == 1 else one * dtype.type(unit)


def _behind(block: Any, n: int) -> Any:
    """The first n axes moved behind the others."""
    return np.transpose(block, (*range(n, np.ndim(block)), *range(n)))


def hessian(
    f: Callable[P, Any], argnums: Argnums = 0, *, holomorphic: bool = False, chunk: int | None = None
) -> Callable[P, Any]:
    """A function that returns the second derivatives of a scalar f: shape x's shape twice.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])

    The arguments are those of `jacobian`.
    """
    return jacobian(grad(f, argnums, holomorphic=holomorphic), argnums, holomorphic=holomorphic, chunk=chunk)


def hvp(f: Function) -> Callable[[Any, Any], Any]:
    """A function of (x, v) that returns the Hessian of f at x times v, without computing the Hessian.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """

    def product(x: Any, v: Any) -> Any:
        return vjp(grad(f), x)[1](v)[0]

    return named_after(f, "hvp", product)


def checkpoint(f: Callable[P, Y]) -> Callable[P, Y]:
    """The same function, whose inside is not remembered: the backward pass computes it a second time.

    >>> import minigrad as mg
    >>> block = mg.checkpoint(lambda x, W: mg.tanh(mg.tanh(x @ W) @ W))
    >>> x, W = np.ones(2), mg.Tensor(np.eye(2))
    >>> mg.sum(block(x, W)).backward()
    >>> W.grad.shape
    (2, 2)

    Memory for time: of a chain of n checkpointed blocks only the n values between them are kept. Arguments and value
    may be containers of arrays. Everything that is differentiated by has to come as an argument. Random numbers are the
    same the second time: the generators that f reaches are set back, and then as they were.

    Raises:
        TypeError: where f uses a Tensor that is not an argument.
        RuntimeError: where f has another value the second time; lazy values (Dask's) are not compared.
    """

    def remembered_at_its_ends(*args: Any, **kwargs: Any) -> Any:
        flat = leaves((args, kwargs))
        where = [i for i, x in enumerate(flat) if is_floating(x)]
        forms: list[Any] = []  # the value of f as a tree, from the first run

        def run(values: Sequence[Any]) -> Any:
            instead = dict(zip(where, values))
            positional, named = unflatten((args, kwargs), [instead.get(i, x) for i, x in enumerate(flat)])
            return f(*positional, **named)

        @op()
        def checkpointed(*values: Any) -> Any:
            random = State(f, args, kwargs)
            value = run(values)
            if _variables(value) and not _variables(values):
                raise TypeError("checkpoint needs every variable as an argument, got a Tensor from outside; pass it in")
            random.forget_unused()
            if not forms:
                forms.append(value)
            packed = _packed(value)
            ready: dict[int, Any] = {}  # gradients computed together, waiting to be asked for
            pulled: Any = None  # the gradient of the value that they are for: a pass may have ended before it asked

            def pullback(i: int) -> Function:
                def pull(g: Any) -> Any:
                    nonlocal pulled
                    if i not in ready or pulled is not g:
                        with transforming() as _, random.restored():
                            fresh = list(map(variable, values))
                            again = _packed(run(fresh))
                            _check_repeated(packed, again)
                            nested = bool(_variables((g, values)))
                            ready.update(enumerate(gradients([again], [g], fresh, nested)))
                        pulled = g
                    return ready.pop(i)

                return pull

            return packed, *map(pullback, range(len(values)))

        packed = checkpointed(*[flat[i] for i in where])
        return _unpacked(forms[0], packed)

    return named_after(f, "checkpoint", remembered_at_its_ends)


def _packed(value: Any) -> Any:
    """The numbers in a function's value as one array: what an op can return."""
    if children(value) is None:
        return value if hasattr(value, "dtype") else np.asarray(value)
    parts = [np.ravel(y) for y in leaves(value) if is_floating(y)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _unpacked(form: Any, packed: Any) -> Any:
    """The inverse of `_packed`; what is no floating-point number is as it was."""
    if children(form) is None:
        return packed if is_floating(form) else form
    start = 0

    def part(y: Any) -> Any:
        nonlocal start
        if not is_floating(y):
            return y
        n = math.prod(np.shape(y))
        start += n
        whole = np.reshape(packed[start - n : start], np.shape(y))
        return whole if whole.dtype == np.result_type(y) else whole.astype(np.result_type(y))

    return map_leaves(part, form)


def _check_repeated(first: Any, again: Any) -> None:
    first, again = bare(plain(first)), bare(plain(again))
    if (
        mode.tracing
        or is_lazy(first)
        or np.allclose(first, again, rtol=float(np.finfo(first.dtype).eps) ** 0.5, equal_nan=True)
    ):
        return
    raise RuntimeError(
        "checkpoint needs a function that has the same value when it runs again, got another one: it depends on "
        "something that changes, such as random numbers or a counter; compute that outside, and pass it in"
    )
