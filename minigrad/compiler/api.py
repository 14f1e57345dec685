"""derive and compile: a function is recorded on tracers, simplified, and printed as NumPy source."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import math
import sys
import time
import types
import warnings
from collections.abc import Callable, Collection
from typing import Any, Generic, Literal, ParamSpec

import numpy as np

from minigrad._tensor import conjugated, unit_seed
from minigrad.batched import levels_of
from minigrad.compiler.audit import Stale
from minigrad.compiler.differentiable import differentiable
from minigrad.compiler.guards import Guards
from minigrad.compiler.program import USERS, Name, forget_examples
from minigrad.compiler.record import (
    Arguments,
    Call,
    Eager,
    Overlap,
    Recorded,
    active,
    describe_argument,
    has_parameter,
    is_array,
    kind_of,
    named_arguments,
    parameter_names,
    record,
    recording_lock,
)
from minigrad.compiler.simplify import simplified
from minigrad.compiler.specialization import GuardFailed, Specialization
from minigrad.compiler.tracer import Refused, Tracer
from minigrad.engine import Node
from minigrad.engine import stop_gradient as plain
from minigrad.mode import merging_rows, mode, vmaps, watched
from minigrad.text import Identifier, is_identifier, joined, markup, normalized, printable
from minigrad.transforms import Argnums, gradients, numbers_in, transforming, variable
from minigrad.trees import children, leaves, map_leaves, unflatten
from minigrad.walk import depends

P = ParamSpec("P")
Function = Callable[..., Any]
MAX_CACHED = 8  # kinds of arguments, and specializations for each
BACKENDS = "numpy", "numba"


def title(f: Function, otherwise: str) -> Identifier:
    """The name of a function, another for a lambda and wherever Python could not read it."""
    name = getattr(f, "__name__", None)
    name = normalized(name) if type(name) is str else ""
    return Identifier(name) if is_identifier(name) else Identifier(otherwise)


class Derived(Generic[P]):
    """A function and its specializations; see `derive` and `compile`.

    >>> import minigrad as mg
    >>> d = mg.derive(lambda x: mg.sum(x * x), np.ones(3))
    >>> d(np.ones(4)), len(d.cache)  # for another shape it is derived anew
    ((np.float64(4.0), array([2., 2., 2., 2.])), 2)
    >>> print(d.guards)
    type(x) is ndarray and x.shape == (4,) and x.dtype is float64

    Attributes:
        cache: the specializations by the kind of the arguments; at most 8 are kept, the oldest is dropped first.
        backend: "numpy" or "numba"; with `calls`, the one that the first call has chosen.
        source: the source of the latest specialization.
        latex: the same as formulas, for LaTeX's mathematics mode. Functions, ∘ and fractions apply to each element,
            Σ_i X_{i·} is the sum of X's rows; what has no notation is written as in NumPy. Notebooks show both.
        guards: the conditions under which the latest specialization is valid: records of a place (an argument or a
            capture), a kind of condition and the expected value. Printed, one condition per line.
    """

    __name__: str
    __qualname__: str
    latest: Specialization | None = None

    def __init__(
        self,
        f: Function,
        recipe: Callable[[Arguments], tuple[Function, frozenset[str]]],
        *,
        pinned: bool,
        exact: bool,
        backend: str,
        pure: bool,
        audit: bool | str,
        calls: float = math.inf,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend needs to be one of {', '.join(BACKENDS)}, got {backend!r}")
        if backend == "numba" and importlib.util.find_spec("numba") is None:
            raise ImportError('backend="numba" needs numba: pip install -e ".[fast]"')
        if audit not in (True, False, "warn"):
            raise ValueError(f"audit needs to be True, False or 'warn', got {audit!r}")
        if not isinstance(calls, int | float | np.number) or not calls >= 0:
            raise ValueError(f"calls needs to be the number of calls, at least 0, or inf, got {calls!r}")
        code = getattr(inspect.unwrap(f), "__code__", None)
        if code is not None and code.co_flags & (
            inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
        ):
            raise TypeError(f"needed a function that returns, got the generator or coroutine {f.__name__}")
        functools.update_wrapper(self, f)
        self.names = parameter_names(f)
        self.f, self.recipe, self.pinned, self.exact, self.backend, self.pure = f, recipe, pinned, exact, backend, pure
        self.audit, self.calls = audit, calls
        self.cache: dict[Any, list[Specialization]] = {}
        self.quick: tuple[Function | None, int] = None, 0  # a call, and the number of its arguments
        self.pinned_to = ""  # the arguments that it was derived for first

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The value for these arguments, by a specialization for their kind, which is derived where there is none."""
        quick, count = self.quick
        if quick is not None and not (watched or active or kwargs) and len(args) == count:
            try:
                return quick(*args)
            except (GuardFailed, StopIteration):  # the latter where an audit is due
                pass
        arguments = named_arguments(self.names, args, kwargs)
        if self.is_within_another(arguments):
            return self.original(arguments)
        try:
            specialization = self.specialized(arguments)
        except Overlap as overlap:
            warnings.warn(f"{title(self.f, 'f')} runs uncompiled: {overlap}", RuntimeWarning, stacklevel=2)
            return self.original(arguments)
        except Eager:
            return self.original(arguments)
        self.use(specialization)
        audit = specialization.audit
        if audit is None or not audit.is_due():
            return self.run(specialization, arguments)
        start = time.perf_counter()
        if not self.is_still_right(specialization, arguments):
            return self(*args, **kwargs)
        between = time.perf_counter()
        output = self.run(specialization, arguments)
        audit.passed(between - start, time.perf_counter() - between)
        specialization.renew()
        return output

    def run(self, specialization: Specialization, arguments: Arguments) -> Any:
        """The value of a specialization, with Tensors where the function returns some that backward can start from."""
        if not specialization.live:
            return specialization(arguments)
        roots = [x for _, x in arguments.all]
        variables = [slot.holder_now(roots) for slot in specialization.variables]
        if any(x._edges for x in variables):  # a result: the backward pass goes on from it
            return self.original(arguments)
        output = specialization(arguments)
        again = None if specialization.changes else lambda: self.original(arguments)
        values = [
            differentiable(x, i, variables, again) if i in specialization.live else x
            for i, x in enumerate(leaves(output))
        ]
        return unflatten(output, values)

    def is_still_right(self, specialization: Specialization, arguments: Arguments) -> bool:
        """Record the function again: a difference is an error, or with audit="warn" the specialization is dropped.

        Raises:
            Stale: before anything is computed or written.
        """
        assert specialization.audit is not None
        recorded = self.recorded(self.call(arguments), self.backend, False)
        changed = specialization.audit.compare(recorded)
        forget_examples(recorded.values)
        if changed is None:
            return True
        message = (
            f"{title(self.f, 'f')} was recorded again and came out different, although every guard held: "
            f"{changed}. It depends on something that was not seen; pass that as an argument, or hold it in a Tensor, "
            f"an array or an attribute. The last call known to be right is number {specialization.audit.good}"
        )
        for kind, found in self.cache.items():
            self.cache[kind] = [other for other in found if other is not specialization]
        self.latest, self.quick = None, (None, 0)
        if self.audit != "warn":
            raise Stale(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return False

    def __get__(self, holder: Any, kind: type | None = None) -> Any:
        return self if holder is None else types.MethodType(self, holder)

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        if found is self:  # a decorated function is found by its name
            return self.__qualname__
        if self.pure:
            raise TypeError(f"a derived function cannot be pickled; derive {title(self.f, 'f')} where it is needed")
        options = {name: getattr(self, name) for name in ("backend", "exact", "audit", "calls")}
        return functools.partial(compile, **options), (self.f,)

    def is_within_another(self, arguments: Arguments) -> bool:
        """Is the call part of what is recorded, or differentiated?"""
        if mode.tracing:
            return True
        if not (vmaps or mode.transforms or (self.pure and mode.recording)):
            return False
        given = leaves([x for _, x in arguments.all])
        if vmaps and any(map(levels_of, given)):
            return True
        if self.pure and mode.recording and any(isinstance(x, Node) for x in given):
            return True
        return bool(mode.transforms) and any(depends(x, mode.transforms) for x in given)

    def original(self, arguments: Arguments) -> Any:
        """The value of the function itself, recorded as any other expression."""
        run, _ = self.recipe(arguments)
        return run(dict(arguments.all))

    def use(self, specialization: Specialization) -> None:
        """Make a specialization the latest, which the next call tries first."""
        self.latest = specialization
        self.quick = specialization.quick, len(specialization.program.parameters)

    def call(self, arguments: Arguments) -> Call:
        """The call that is recorded for such arguments."""
        run, strongly_typed = self.recipe(arguments)
        return Call(self.f, arguments, run, strongly_typed, enter=self.pure)

    def specialized(self, arguments: Arguments) -> Specialization:
        """The specialization for such arguments, from the cache or new."""
        roots = [x for _, x in arguments.all]
        kind = (mode.recording, *((name, kind_of(x, self.pure)) for name, x in arguments.all))
        found = self.cache.get(kind, [])
        for specialization in found:
            if specialization.fits(*roots):
                if specialization is not found[0]:  # the next call is mostly like this one
                    self.cache[kind] = [specialization, *(other for other in found if other is not specialization)]
                return specialization
        if self.pinned and self.cache:
            got = ", ".join(f"{printable(name)} {describe_argument(x)}" for name, x in arguments.all)
            raise TypeError(
                f"{title(self.f, 'f')} was derived for {self.pinned_to}, got {got}; "
                "derive it for these, or without pinned=True"
            )
        with recording_lock:
            return self.compiled(kind, arguments)

    def compiled(self, kind: Any, arguments: Arguments) -> Specialization:
        """A new specialization, in the cache."""
        call = self.call(arguments)
        is_undecided = self.backend == "numba" and self.calls < math.inf and not self.cache
        backend = "numpy" if is_undecided else self.backend
        recorded = self.recorded(call, backend)
        moved = [slot for slot, *_ in recorded.written] + [slot for slot, _ in recorded.rebound]
        changed = [slot.title("something") for slot in moved]
        if self.pure and changed:
            raise Refused(
                f"derive needs a function without effects, got one that changes {', '.join(changed)}; see mg.compile"
            )
        program = simplified(title(self.f, "f"), arguments, recorded, self.exact)
        if backend != self.backend:
            from minigrad.compiler.jit import wins_back

            if wins_back(program, self.calls):
                self.calls = math.inf
                return self.compiled(kind, arguments)
            self.backend = backend
        specialization = Specialization(program, recorded, call, self.backend, bool(self.audit))
        if self.pinned and not self.cache:
            self.pinned_to = ", ".join(f"{printable(name)} {describe_argument(x)}" for name, x in arguments.all)
        elif len(self.cache) >= MAX_CACHED:
            del self.cache[next(iter(self.cache))]
        others = self.cache.get(kind, [])
        if len(others) == MAX_CACHED:
            warnings.warn(
                f"{title(self.f, 'f')} was compiled {MAX_CACHED + 1} times for such arguments, as its guards failed "
                "again and again: print(f.guards) shows them. A value that changes at every call belongs in an array "
                "or a float, not in a decision of Python's",
                RuntimeWarning,
                stacklevel=4,
            )
        self.cache[kind] = [specialization, *others][:MAX_CACHED]
        return specialization

    def recorded(self, call: Call, backend: str, named: bool = True) -> Recorded:
        """A recording of a call; with `named`, of its variables' names too."""
        with merging_rows(backend == "numpy"):  # numba's loops add rows as fast one by one
            return record(call, named)

    @property
    def source(self) -> str:
        """The source of the latest specialization."""
        return self.used_last("source").source

    @property
    def latex(self) -> str:
        """The same as formulas, for LaTeX's mathematics mode."""
        from minigrad.viz.formulas import latex  # here, as few ask for it

        return latex(self.used_last("latex").formulas())

    @property
    def guards(self) -> Guards:
        """The conditions under which the latest specialization is valid."""
        return self.used_last("guards").guards

    def used_last(self, asked_for: str) -> Specialization:
        """The latest specialization.

        Raises:
            ValueError: before the first call of a compiled function.
        """
        if self.latest is None:
            name = title(self.f, "f")
            raise ValueError(f"{name} is compiled when it is first called: call it, then look at its {asked_for}")
        return self.latest

    def __str__(self) -> str:
        return self.source.rstrip() if self.latest else repr(self)

    def __repr__(self) -> str:
        own = vars(self)
        name, count = title(own.get("f", self), "f"), sum(map(len, own.get("cache", {}).values()))
        if not count:
            return f"<{name}, to be compiled when it is called>"
        done = "derived" if own["pure"] else "compiled"
        return f"<{name}, {done} for {count} kind{'s' * (count != 1)} of arguments>"

    def _repr_markdown_(self) -> str | None:
        return f"```python\n{self.source}```" if self.latest else None

    def _repr_html_(self) -> str | None:
        """Formulas and source side by side, in MathML, which needs no script; None before the first call."""
        from minigrad.viz.formulas import mathml

        if (shown := self.latest) is None:
            return None
        return markup(
            '<div style="display: flex; flex-wrap: wrap; gap: 1em 3em; align-items: flex-start">'
            '<div style="overflow: auto hidden; padding: 0.3em 0">{}</div>'
            '<pre style="overflow-x: auto; margin: 0; font-family: monospace">{}</pre></div>',
            mathml(shown.formulas()),
            joined(markup("{}\n", line) for line in shown.source.splitlines()),
        )


def derive(
    f: Function,
    /,
    *args: Any,
    wrt: Argnums | None = None,
    backend: str = "numpy",
    pinned: bool = False,
    exact: bool = True,
    audit: bool | Literal["warn"] = True,
    **kwargs: Any,
) -> Derived[...]:
    """The gradient of f as the NumPy function that a careful person would write, and the function itself.

    >>> import minigrad as mg
    >>> def score(U, W, b, x):
    ...     z = W @ x + b
    ...     a = np.tanh(z)
    ...     s = U @ a
    ...     return s
    >>> d = mg.derive(score, np.ones(3), np.ones((3, 2)), np.ones(3), np.ones(2))
    >>> print(d)
    def score(U, W, b, x):
        # U (3,), W (3, 2), b (3,), x (2,): float64
        z = W @ x + b  # shape (3,)
        a = np.tanh(z)  # ∂s/∂U, shape (3,)
        s = U @ a
        delta = U * (1 - a * a)  # ∂s/∂z = ∂s/∂b, shape (3,)
        dW = np.outer(delta, x)  # ∂s/∂W, shape (3, 2)
        dx = W.T @ delta  # ∂s/∂x, shape (2,)
        return s, (a, dW, delta, dx)
    >>> s, (dU, dW, db, dx) = d(np.ones(3), np.ones((3, 2)), np.ones(3), np.zeros(2))

    The bodies of the ops run on tracers, forward and backward; the recorded program is simplified by exact rules
    (minigrad/compiler/rules.py) and printed. A call returns f's value and gradients, equal to those of
    `value_and_grad` to the last bit.

    Args:
        f: a function of arrays, or of containers of arrays; a scalar value, or one array.
        args: an example of its arguments (kwargs too): f is specialized for the shapes and dtypes of arrays and for the
            values of other arguments (a flag, an int that is no number in arithmetic).
        wrt: the arguments to differentiate by, as the argnums of `grad`; by default all floating-point ones; () for
            none, to derive the value alone.
        backend: "numpy", or "numba" to compile the same source (`pip install -e ".[fast]"`).
        pinned: other shapes are an error; otherwise it is derived again for them.
        exact: False allows rules that may differ in the sign of a zero, or for NaN and infinity: x + 0 = x.
        audit: f is recorded again at its second call, and then rarely, and must come out as before: what it depends on
            unseen (a clock, a cache) would be frozen. "warn" to derive it again after a warning, False for no audits.

    Returns:
        A function of the same arguments, whose `source` needs NumPy alone: paste it anywhere. In the source a
        row-sparse gradient is a list of pairs (row numbers, rows to add there), and the arrays and numbers that f
        captures are further parameters at the end, which a call fills in. If f's value is not a scalar, the function
        takes the gradient of the value too, as `backward` does, by the keyword `gradient` (`gradient_of_value` if f has
        a parameter of that name).

    Raises:
        TypeError: where f decides on a value in Python (`if x > 0`), writes into an argument, or draws random numbers:
            a program of NumPy calls cannot express that. The message names the op and the line.
        Stale: where an audit finds a difference that no guard saw, before anything is computed.
    """
    own = named_arguments(parameter_names(f), args, kwargs)
    seed_name = "gradient_of_value" if has_parameter(f, "gradient", kwargs) else "gradient"
    constant = {name for name, _ in own.all}.difference(wanted(own, wrt, seed_name)[0])

    def recipe(arguments: Arguments) -> tuple[Function, frozenset[str]]:
        chosen, bare = wanted(arguments, wrt, seed_name, constant)

        def run(trees: dict[str, Any]) -> Any:
            with transforming(trees) as nested:
                inside = trees | {name: map_leaves(variable, trees[name]) for name in chosen}
                value = f(
                    *(inside[name] for name, _ in arguments.positional),
                    **{name: inside[name] for name, _ in arguments.keyword if name != seed_name},
                )
                if not chosen:
                    return value
                trees_of_variables = [inside[name] for name in chosen]
                seed = seed_of(value, trees.get(seed_name), seed_name)
                found = gradients([value], [seed], leaves(trees_of_variables), record := nested(value))
            value = value if record else plain(value)
            if isinstance(value, Tracer):
                value.value.adopt(Name(USERS, title(f, "y")))
            structured = unflatten(trees_of_variables, map(conjugated, found))
            return value, structured[0] if bare else tuple(structured)

        return run, frozenset(chosen)

    derived: Derived[...] = Derived(f, recipe, pinned=pinned, exact=exact, backend=backend, pure=True, audit=audit)
    try:
        derived.use(derived.specialized(own))
    except NotScalar as error:
        gradient = np.ones(error.shape, error.dtype)
        derived.use(derived.specialized(own._replace(keyword=(*own.keyword, (seed_name, gradient)))))
    return derived


class NotScalar(ValueError):
    """A function whose value is no scalar, and no gradient of it was given."""

    def __init__(self, value: Any, keyword: str) -> None:
        self.shape, self.dtype = np.shape(value), np.result_type(value)
        super().__init__(
            f"the value has shape {self.shape}, so its pullback is derived: call it with {keyword}=, of that shape"
        )


def seed_of(value: Any, gradient: Any, keyword: str) -> Any:
    """The gradient that goes back from a value."""
    if gradient is not None:
        return conjugated(gradient)
    if children(value) is not None:
        kind = type(value).__name__
        raise TypeError(f"derive needs one array as the value, got a {kind}; derive each, or use wrt=() for the values")
    numbers_in(value, "derive")
    if np.size(value) != 1:
        raise NotScalar(value, keyword)
    if np.result_type(value).kind == "c":
        raise TypeError("derive needs a real value, got a complex one; derive its real or imaginary part")
    return unit_seed(value) if hasattr(value, "_data") else np.ones_like(value, float)


def wanted(
    arguments: Arguments, wrt: Argnums | None, seed_name: str, constant: Collection[str] | None = None
) -> tuple[list[str], bool]:
    """The names of the arguments to differentiate by, and whether the gradient comes bare, not in a tuple.

    By default these are the floating-point ones, `constant` those that were none when the function was derived first.
    """
    given = dict(arguments.all)
    names = [name for name in given if name != seed_name]
    if wrt is None:
        if constant is not None:
            chosen = [name for name in names if name not in constant]
        else:
            chosen = [name for name in names if leaves(given[name]) and all(map(is_floating, leaves(given[name])))]
            if names and not chosen and all(type(given[name]) is int for name in names):
                raise TypeError("derive needs a floating-point argument, got integers; write 3.0 for 3")
        return chosen, len(chosen) == 1
    chosen = []
    for key in [wrt] if isinstance(wrt, int | str) else wrt:
        if (key not in names) if isinstance(key, str) else not -len(names) <= key < len(names):
            raise TypeError(
                f"wrt={wrt!r} needs an argument {printable(key)}, got the arguments {', '.join(map(printable, names))}"
            )
        name = key if isinstance(key, str) else names[key]
        for x in leaves(given[name]):
            if constant is None and not is_floating(x):
                got = describe_argument(x)
                raise TypeError(
                    f"wrt={wrt!r} needs floating-point arrays in {printable(name)}, got {got}; use x.astype(float)"
                )
        chosen.append(name)
    return chosen, isinstance(wrt, int | str)


def is_floating(x: Any) -> bool:
    return is_array(x) and type(x) is not int and np.result_type(plain(x)).kind in "fc"


def compile(
    step: Callable[P, Any],
    *,
    backend: str = "numpy",
    exact: bool = True,
    audit: bool | Literal["warn"] = True,
    calls: float = math.inf,
) -> Derived[P]:
    """A function, such as a whole training step, as straight-line NumPy that updates its state in place.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0], name="w")
    >>> @mg.compile
    ... def step(x, lr):
    ...     J = mg.sum((w * x) ** 2)
    ...     J.backward()
    ...     w.data -= lr * w.grad
    ...     w.grad = None
    ...     return J
    >>> step(np.ones(2), 0.1), w.data
    (np.float64(5.0), array([0.8, 1.6]))
    >>> print(step)
    def step(x, lr, w):
        # x (2,), w (2,): float64
        t = w * x  # shape (2,)
        J = (t**2).sum()
        w -= lr * (2 * t * x)  # shape (2,)
        return J

    The step needs no changes: it reaches Tensors and optimizers through its closure or its arguments, calls `backward`,
    and updates parameters. All that it reaches is read on every call (a new learning rate takes effect at once; if a
    flag or the length of a list changes, the step is compiled again), and its effects happen: data in place, gradients,
    optimizer state, counters. It is compiled at the first call and once for each kind of arguments. With the same seed
    the losses are those of the step itself, with backend "numpy" to the last bit.

    Tensors that backward could not start from, as after an update, are returned as arrays. Others are Tensors: their
    pullback runs the function again, or is an error where it changes state. docs/derive.md says what is an input, a
    guard, refused.

    Args:
        step: a function; also a method, as a decorator.
        backend, exact, audit: as in `derive`.
        calls: how many calls there will be, about. Where so many, by an estimate from the first call's shapes, would
            not win back the seconds that numba takes to be imported and to compile, the backend is "numpy". To choose
            the same in a later run that goes on with this one, pass `step.backend` as its backend, without calls.

    Raises:
        TypeError: as `derive` does; and where a step stores a computed value where nobody could find it again (a list).
            Everything is then as it was before the call.
        Stale: as `derive` does.
    """

    def recipe(arguments: Arguments) -> tuple[Function, frozenset[str]]:
        def run(trees: dict[str, Any]) -> Any:
            positional = [trees[name] for name, _ in arguments.positional]
            return step(*positional, **{name: trees[name] for name, _ in arguments.keyword})

        return run, frozenset()

    return Derived(step, recipe, pinned=False, exact=exact, backend=backend, pure=False, audit=audit, calls=calls)
