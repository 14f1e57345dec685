"""The state of this context: whether ops are recorded, what a backward pass depends on, who observes.

A context is Python's (`contextvars`): every thread has one, and every asyncio task a copy of the one that it was
created in. The state is set by blocks. Nothing is put back when a block ends: the block is taken out of its context,
whichever was entered last.
"""

from __future__ import annotations

import contextlib
import functools
import opcode
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import CodeType, FrameType
from typing import Any, TypeVar, overload

MERGE_ROWS_FROM = 2000

_entered: ContextVar[tuple[Entered, ...]] = ContextVar("entered", default=())  # the blocks, the innermost last
_here: ContextVar[None] = ContextVar("here")  # its tokens tell a context from its copies

#: Weak references to the blocks that ops and backward passes heed, one for each time a block was entered, as long as
#: any context holds it. While there is none no op has to look at its context, at the cost of all else it looks at.
watched: set[weakref.ref[Entered]] = set()

#: Weak references to the runs of `vmap` whose arrays are still there: without one, no backward pass looks for them.
vmaps: set[weakref.ref[Any]] = set()

_HEEDED = frozenset({"observer", "pass_observer", "pull"})

#: The flags of a generator's code, a coroutine's and an asynchronous generator's (inspect.CO_GENERATOR, ...).
_CAN_BE_SUSPENDED = 0x20 | 0x80 | 0x100 | 0x200
_ASYNC_GENERATOR = 0x200


class Entered:
    """A block from when it is entered until it is left."""

    __slots__ = ("__weakref__", "block", "frame", "left", "token", "values")

    def __init__(self, block: Block, frame: FrameType | None, values: dict[str, Any]) -> None:
        self.block, self.values, self.left = block, values, False
        self.frame = frame  # of the generator or coroutine that it is in
        self.token: Token[None] | None = _here.set(None) if frame is not None else None

    def holds(self) -> bool:
        """Not while its generator is suspended, whose context is then its caller's; but in tasks started inside."""
        if self.frame is None or self.frame.f_back is not None:
            return not self.left
        return not self.left and not self._in_its_own_context()

    def _in_its_own_context(self) -> bool:
        assert self.token is not None
        try:
            _here.reset(self.token)
        except (ValueError, RuntimeError):  # another context; another thread is just asking
            return False
        self.token = _here.set(None)
        return True


F = TypeVar("F", bound=Callable[..., Any])


class Block:
    """`with Block(recording=False):` sets attributes of `mode` for what runs inside.

    It holds in its context: this thread or this asyncio task, and tasks created inside. In a generator it does not hold
    while the generator is suspended: in a context manager written as a generator it holds for the block that uses it.
    A block may be entered again, and by several threads. As a decorator it holds in every call of the function, and
    in a generator or coroutine whenever it runs.
    """

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.entries: list[Entered] = []

    def __enter__(self) -> Any:
        self.enter(sys._getframe(1), **self.values)

    def __exit__(self, *problem: Any) -> None:
        self.leave(sys._getframe(1))

    def enter(self, frame: FrameType, /, **values: Any) -> None:
        """Enter the block from a frame, with values that may be this entry's own."""
        entry = Entered(self, _suspendable(frame), values)
        if values.get("recording") is False or not _HEEDED.isdisjoint(values):
            watched.add(weakref.ref(entry, watched.discard))
        self.entries.append(entry)
        _entered.set((*_entered.get(), entry))

    def leave(self, frame: FrameType) -> Entered:
        """Leave the block: the entry from this frame if there is one, else the last in this context, else the last."""
        here, suspendable = _entered.get(), _suspendable(frame)
        mine = [e for e in here if e.block is self]
        entry = next((e for e in mine[::-1] if e.frame is suspendable), (mine or self.entries)[-1])
        self.entries.remove(entry)
        if mine:
            _entered.set(tuple([e for e in here if e is not entry]))
        else:
            entry.left = True  # another context holds it still
        entry.frame = None
        return entry

    def __call__(self, function: F) -> F:
        import inspect  # slow to import where NumPy has not done so, and seldom needed

        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        def generator(*args: Any, **kwargs: Any) -> Any:
            with self:
                return (yield from function(*args, **kwargs))

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        async def async_generator(*args: Any, **kwargs: Any) -> Any:
            with self:
                inner = function(*args, **kwargs)
                step = anext(inner)
                while True:
                    try:
                        value = await step
                    except StopAsyncIteration:
                        return
                    try:
                        step = inner.asend((yield value))
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as error:  # thrown in by the caller, and thrown on
                        step = inner.athrow(error)

        kinds = {
            inspect.isgeneratorfunction: generator,
            inspect.iscoroutinefunction: coroutine,
            inspect.isasyncgenfunction: async_generator,
        }
        wrapper = next((wrapper for is_kind, wrapper in kinds.items() if is_kind(function)), decorated)
        wrapped: Any = functools.wraps(function)(wrapper)
        return wrapped


def _suspendable(frame: FrameType | None) -> FrameType | None:
    """The frame whose suspension suspends a block entered in it: that of a generator or coroutine, None elsewhere.

    A context manager passes the block on to the frame that uses it, written as a class or as a generator; and a
    coroutine or generator to the one that waits for it by `await` or `yield from`, as both are suspended together.
    """
    while frame is not None:
        code, back = frame.f_code, frame.f_back
        can_be_suspended = code.co_flags & _CAN_BE_SUSPENDED
        managed = code.co_name in ("__enter__", "__exit__") or _is_contextlibs(frame)
        passed_on = can_be_suspended and back is not None and (_is_contextlibs(back) or _waits_for(back, code))
        if not managed and not passed_on:
            return frame if can_be_suspended else None
        frame = back
    return None


def _waits_for(frame: FrameType, code: CodeType) -> bool:
    """Does a frame wait for one that it runs, of this code, until that returns?"""
    waits = opcode.opname[frame.f_code.co_code[frame.f_lasti]] in ("SEND", "YIELD_VALUE", "RESUME")
    return waits and not code.co_flags & _ASYNC_GENERATOR


def _is_contextlibs(frame: FrameType) -> bool:
    return frame.f_code.co_filename == contextlib.__file__


class _Switch:
    """An attribute of `mode` that blocks set: the value of the innermost block that holds."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        for entry in reversed(_entered.get()):
            if self.name in entry.values and entry.holds():
                return entry.values[self.name]
        return self.default


class _Variable:
    """An attribute of `mode` that is assigned to, and put back, within one function."""

    def __init__(self, default: Any) -> None:
        self.value = ContextVar("value", default=default)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.value.get()

    def __set__(self, instance: Any, value: Any) -> None:
        self.value.set(value)


class _Mode:
    recording = _Switch(True)  # are ops on Tensors recorded?
    replaying = _Variable(False)  # is an op's body running again, on Tensors? then no value may be read
    tracing = _Variable(False)  # tracing: constants must be traced too
    composing = _Variable(())  # the NumPy functions that are just composed of others, on the arrays of a vmap
    #: Of each transform (grad, vjp, ...) that is running, the outermost first: the stamps of its variables.
    transforms = _Switch(())
    levels = _Switch(())  # of each vmap that is running, the outermost first: its level
    merge_rows_from = _Switch(MERGE_ROWS_FROM)  # elements: row-sparse gradients of more are merged before they are used
    pull = _Switch(None)  # called in place of every pullback: with the op, the argument, the pullback and g

    aligned: Callable[[Any, Any], Any]  # see batched.py, which defines these two
    refuse_inside_vmap: Callable[..., None]

    def observers(self, kind: str = "observer") -> list[Any]:
        """All that observe the Tensors that are made, or the backward passes, in this context."""
        return [e.values[kind] for e in _entered.get() if kind in e.values and e.holds()]

    def pass_observers(self) -> tuple[list[Callable[[Any, Any], None]], Callable[..., Any] | None]:
        """For a pass that starts: all to call with each Tensor it visits and its gradient, and `pull`."""
        return [observer() for observer in self.observers("pass_observer")], self.pull


mode = _Mode()


@overload
def no_grad() -> Block: ...
@overload
def no_grad(function: F) -> F: ...
def no_grad(function: Any = None) -> Any:
    """Compute without recording: results are Tensors without a history.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> with mg.no_grad():
    ...     y = w * w
    >>> (y * w).backward(np.ones(2)), w.grad  # y is a constant
    (None, array([1., 4.]))

    It holds for this thread or asyncio task, and for tasks created inside. In a generator it does not hold for the
    caller, while the generator is suspended. It is a decorator too, also of generators and coroutines.
    """
    block = recording(False)
    return block if function is None else block(function)


def recording(on: bool) -> Block:
    """Record ops, or do not."""
    return Block(recording=on)


def observing_passes(observer: Callable[[], Callable[[Any, Any], None]]) -> Block:
    """Observe the backward passes of this context.

    Args:
        observer: called when a pass starts; what it returns is called with every Tensor that the pass visits, the
            newest first, and its whole gradient.
    """
    return Block(pass_observer=observer)


def merging_rows(on: bool) -> Block:
    """Merge the rows of large row-sparse gradients before they are applied, or apply all of them row by row."""
    return Block(merge_rows_from=MERGE_ROWS_FROM if on else sys.maxsize)


#: Other modules hold these: they outlive a reload of this module.
_lasting = globals().setdefault("_lasting", (mode, watched, vmaps, _entered, _here))
mode, watched, vmaps, _entered, _here = _lasting
