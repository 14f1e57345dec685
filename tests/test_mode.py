"""The state of a context: threads, asyncio tasks, generators and copies of contexts do not see one another's."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.mode import MERGE_ROWS_FROM, Block, merging_rows, mode, observing_passes, recording, watched
from minigrad.viz import names


def visitor() -> Callable[[Any, Any], None]:
    return lambda node, g: None


#: Every block: how it is made, and whether it holds here.
BLOCKS: dict[str, tuple[Callable[[], Any], Callable[[], bool]]] = {
    "no_grad": (mg.no_grad, lambda: not (mg.Tensor(1.0) * 2.0)._edges),
    "observing_passes": (lambda: observing_passes(visitor), lambda: mode.pass_observers()[0] != []),
    "merging_rows": (lambda: merging_rows(False), lambda: mode.merge_rows_from != MERGE_ROWS_FROM),
    "transforms": (lambda: Block(transforms=({1},)), lambda: mode.transforms != ()),
    "trace_source": (mg.trace_source, lambda: names.line_of(mg.Tensor(1.0) * 2.0) is not None),
    "scope": (lambda: mg.scope("here"), lambda: names.scopes_around([one := mg.Tensor(1.0)]).get(id(one), ()) != ()),
    "debug": (mg.debug, lambda: mode.pull is not None),
}
each_block = pytest.mark.parametrize(("block", "holds"), BLOCKS.values(), ids=BLOCKS)


@pytest.fixture(autouse=True)
def all_blocks_end() -> Iterator[None]:
    yield
    gc.collect()
    assert not watched and not any(holds() for _, holds in BLOCKS.values())


@each_block
def test_it_holds_inside_and_ends(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    found = [holds()]
    with pytest.raises(ZeroDivisionError), block():
        with block():
            found.append(holds())
        found.append(holds())
        raise ZeroDivisionError
    assert [*found, holds()] == [False, True, True, False]


@each_block
def test_one_block_may_be_entered_again(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    one = block()
    with one:
        with one:
            assert holds()
        assert holds()
    assert not holds()
    with one:
        assert holds()


@each_block
def test_overlapping_tasks(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    """The first to enter is the first to leave: nothing of the second's is undone, and nothing is left behind."""
    found: dict[str, list[bool]] = {"first": [], "second": [], "bystander": []}

    async def work(name: str, begin: int, end: int) -> None:
        for _ in range(begin):
            await asyncio.sleep(0)
        with block():
            for _ in range(end - begin):
                found[name].append(holds())
                await asyncio.sleep(0)
        found[name].append(holds())

    async def stand_by() -> None:
        for _ in range(8):
            found["bystander"].append(holds())
            await asyncio.sleep(0)

    async def all_of_them() -> bool:
        await asyncio.gather(work("first", 0, 4), work("second", 2, 6), stand_by())
        return holds()

    assert not asyncio.run(all_of_them()) and not holds()
    assert found == {"first": [True] * 4 + [False], "second": [True] * 4 + [False], "bystander": [False] * 8}


@each_block
def test_threads(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    """A thread does not see the other's block, also where the one that began first ends first."""
    one, steps, found = block(), threading.Barrier(2, timeout=10), []

    def other() -> None:
        steps.wait()  # the main thread is inside
        found.append(holds())
        with one:
            steps.wait()
            steps.wait()  # the main thread has left
            found.append(holds())
        found.append(holds())

    thread = contextvars.Context().run(lambda: threading.Thread(target=other))
    contextvars.Context().run(thread.start)
    with one:
        steps.wait()
        steps.wait()
        found.append(holds())
    steps.wait()
    thread.join()
    assert found == [False, True, True, False] and not holds()


@each_block
def test_a_suspended_generator(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    found = []

    def inside() -> Iterator[bool]:
        with block():
            while True:
                yield holds()

    one, two = inside(), inside()
    for _ in range(2):
        found += [next(one), holds(), next(two), holds()]
    with block():
        one.close()  # the first that was entered: the others' stay
        found += [next(two), holds()]
        two.close()
        found += [True, holds()]
    assert found == [True, False, True, False] * 2 + [True] * 4


@each_block
def test_generators_that_share_a_block(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    shared = block()

    def inside() -> Iterator[bool]:
        with shared:
            while True:
                yield holds()

    one, two = inside(), inside()
    assert next(one) and next(two)
    one.close()
    assert next(two) and not holds()
    two.close()


@each_block
def test_a_generator_that_is_dropped_or_sent_an_error(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    def inside() -> Iterator[bool]:
        with contextlib.suppress(KeyError), block():
            yield holds()
        yield holds()

    dropped, sent = inside(), inside()
    assert next(dropped) and next(sent) and not holds()
    del dropped
    assert sent.throw(KeyError()) is False and not holds()


@each_block
def test_context_managers_hold_for_the_block_that_uses_them(
    block: Callable[[], Any], holds: Callable[[], bool]
) -> None:
    """Written as a generator, as a class or as an ExitStack; and used in a generator, not while it is suspended."""

    @contextlib.contextmanager
    def as_generator() -> Iterator[None]:
        with block():
            yield

    @contextlib.contextmanager
    def nested() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(as_generator())
            yield

    class AsClass:
        def __enter__(self) -> None:
            self.block = block()
            self.block.__enter__()

        def __exit__(self, *problem: Any) -> None:
            self.block.__exit__(*problem)

    for manager in (as_generator, nested, AsClass):

        def inside(manager: Any = manager) -> Iterator[bool]:
            with manager():
                yield holds()

        with manager():
            assert holds()
        assert not holds()
        generator = inside()
        assert next(generator) and not holds()
        assert list(generator) == [] and not holds()


@each_block
def test_what_is_awaited_enters_it_for_who_awaits(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    """In __aenter__, in a helper that is awaited, and in one that a generator delegates to."""

    class AsClass:
        async def __aenter__(self) -> None:
            await asyncio.sleep(0)
            self.block = block()
            self.block.__enter__()

        async def __aexit__(self, *problem: Any) -> None:
            await asyncio.sleep(0)
            self.block.__exit__(*problem)

    async def deeper(stack: contextlib.ExitStack) -> None:
        await asyncio.sleep(0)
        stack.enter_context(block())

    async def setup(stack: contextlib.ExitStack) -> None:
        await deeper(stack)
        await asyncio.sleep(0)

    async def stream() -> AsyncIterator[bool]:
        with contextlib.ExitStack() as stack:
            await setup(stack)
            yield holds()
            yield holds()

    async def main() -> list[bool]:
        found = []
        async with AsClass():
            await asyncio.sleep(0)
            found.append(holds())
        found.append(holds())
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(AsClass())
            found.append(holds())
        found.append(holds())
        with contextlib.ExitStack() as inner:
            await setup(inner)
            await asyncio.sleep(0)
            found.append(holds())
        found.append(holds())
        async for inside in stream():
            found += [inside, holds()]
        return found

    async def bystander() -> list[bool]:
        found = []
        for _ in range(10):
            found.append(holds())
            await asyncio.sleep(0)
        return found

    async def both() -> Any:
        return await asyncio.gather(main(), bystander())

    assert asyncio.run(both()) == [[True, False] * 5, [False] * 10]

    def enter(stack: contextlib.ExitStack) -> Iterator[None]:
        yield
        stack.enter_context(block())

    def generator() -> Iterator[bool]:
        with contextlib.ExitStack() as stack:
            yield from enter(stack)  # type: ignore[misc]
            yield holds()

    steps = generator()
    next(steps)
    assert next(steps) and not holds()
    assert not list(steps) and not holds()


@each_block
def test_tasks_that_are_created_inside(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    """A task has a copy of its creator's context, as with every context variable, while its creator waits too."""

    async def ask() -> bool:
        await asyncio.sleep(0)
        return holds()

    async def stream() -> AsyncIterator[list[bool]]:
        with block():
            yield await asyncio.gather(ask(), ask(), asyncio.to_thread(holds))

    async def all_of_them() -> list[Any]:
        with block():
            inside = await asyncio.gather(ask(), ask(), asyncio.to_thread(holds))
            outliving = asyncio.create_task(ask())
        results = [inside, await outliving, holds()]
        async for streamed in stream():
            results += [streamed, holds()]
        return results

    assert asyncio.run(all_of_them()) == [[True] * 3, True, False, [True] * 3, False]


@each_block
def test_coroutines_that_take_turns_in_one_context(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    class Turn:
        def __await__(self) -> Iterator[bool]:
            yield holds()

    async def work() -> None:
        with block():
            await Turn()

    one = work()
    assert one.send(None) and not holds()
    with pytest.raises(StopIteration):
        one.send(None)


@each_block
def test_it_may_end_in_another_context(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    def inside() -> Iterator[bool]:
        with block():
            yield holds()

    generator = inside()
    here, there = contextvars.Context(), contextvars.Context()
    assert here.run(next, generator) and not here.run(holds)
    there.run(generator.close)
    assert not here.run(holds) and not there.run(holds)
    one = block()
    here.run(one.__enter__)
    there.run(one.__exit__, None, None, None)
    assert not here.run(holds)


@each_block
def test_as_a_decorator(block: Callable[[], Any], holds: Callable[[], bool]) -> None:
    @block()
    def function(x: int) -> tuple[int, bool]:
        "Documented."
        return x, holds()

    @block()
    def generator(n: int) -> Iterator[Any]:
        for i in range(n):
            try:
                received = yield i, holds()
            except KeyError:
                received = "thrown"
            if received:
                yield received, holds()
        return holds()

    @block()
    async def coroutine() -> bool:
        await asyncio.sleep(0)
        return holds()

    @block()
    async def stream(n: int) -> AsyncIterator[Any]:
        for i in range(n):
            await asyncio.sleep(0)
            try:
                received = yield i, holds()
            except KeyError:
                received = "thrown"
            if received:
                yield received, holds()

    assert function(3) == (3, True) and (function.__name__, function.__doc__) == ("function", "Documented.")
    assert not holds()
    started = generator(3)
    assert next(started) == (0, True) and not holds()
    assert started.send("sent") == ("sent", True) and next(started) == (1, True)
    assert started.throw(KeyError()) == ("thrown", True) and not holds()
    assert list(started) == [(2, True)]

    async def consume() -> list[Any]:
        s = stream(3)
        results = [await anext(s), holds(), await s.asend("sent"), await anext(s), await s.athrow(KeyError()), holds()]
        results += [x async for x in s]
        left = stream(2)
        await anext(left)
        await left.aclose()
        return [*results, await coroutine(), holds()]

    assert asyncio.run(consume()) == [
        (0, True), False, ("sent", True), (1, True), ("thrown", True), False, (2, True), True, False
    ]  # fmt: skip


def test_no_grad_without_parentheses_is_a_decorator() -> None:
    @mg.no_grad
    def squares(n: int) -> Iterator[Any]:
        x = mg.Tensor(2.0)
        for _ in range(n):
            yield x * x

    assert [bool(y._edges) for y in squares(2)] == [False, False]


def test_no_gradient_is_lost_while_a_generator_is_suspended() -> None:
    w = mg.Tensor([1.0, 2.0], name="w")

    def targets() -> Iterator[Any]:
        with mg.no_grad():
            while True:
                yield (w * 2.0).data

    for target, _ in zip(targets(), range(2)):
        mg.sum(w * target).backward()
    assert w.grad.tolist() == [4.0, 8.0]


def test_recording_inside_no_grad_inside_recording() -> None:
    x, found = mg.Tensor(1.0), []
    with mg.no_grad():
        with recording(True):
            found.append(bool((x * x)._edges))
            with mg.no_grad():
                found.append(bool((x * x)._edges))
        found.append(bool((x * x)._edges))
    assert found == [True, False, False]


def test_ops_look_at_their_context_only_while_a_block_concerns_them() -> None:
    with recording(True), merging_rows(False):
        assert not watched
    mg.grad(lambda x: x * x)(1.0)
    with mg.no_grad():
        assert len(watched) == 1
        context = contextvars.copy_context()
    assert len(watched) == 1  # a copy of the context still holds it
    assert context.run(lambda: not (mg.Tensor(1.0) * 2.0)._edges)
    del context
    assert not watched


def test_transforms_in_threads_and_tasks_keep_their_variables_apart() -> None:
    def f(x: Any) -> Any:
        assert len(mode.transforms) == 1
        return mg.sum(x * x)

    async def one(x: Any) -> Any:
        return await asyncio.to_thread(mg.grad(f), x)

    async def many() -> list[Any]:
        return await asyncio.gather(*[one(np.full(2, float(i))) for i in range(8)])

    assert [g.tolist() for g in asyncio.run(many())] == [[2.0 * i] * 2 for i in range(8)]


def test_a_value_read_by_a_task_of_a_transform_is_refused() -> None:
    async def read(x: Any) -> float:
        return await asyncio.to_thread(float, x)

    with pytest.raises(TypeError, match="its gradient would be lost"):
        mg.grad(lambda x: x * asyncio.run(read(x)))(2.0)


def test_replaying_ends_with_the_op_that_is_replayed() -> None:
    seen = []

    @mg.op()
    def outer(x: Any) -> Any:
        y = mg.grad(mg.grad(lambda v: v**3))(x) if isinstance(x, mg.Tensor) else 6 * x
        seen.append(mode.replaying)
        return y, lambda g: 6.0 * g

    mg.grad(mg.grad(outer))(1.0)
    assert seen == [False, True] and not mode.replaying


@pytest.mark.skipif(sys.version_info < (3, 14), reason="contexts are inherited by threads from Python 3.14 on")
def test_a_thread_that_inherits_its_context_inherits_the_block() -> None:
    found = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: found.append(mode.recording), context=contextvars.copy_context())
        thread.start()
        thread.join()
    assert found == [False]
