"""The processes of an MPI communicator as one: gradients are summed, and an error or a difference is everybody's.

A communicator is whatever has mpi4py's methods `allgather`, `Allreduce` and `Allgatherv`; mpi4py is not imported. All
functions take part in a collective operation: every rank calls them, in the same order.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np

from minigrad.sparse import RowSparse
from minigrad.text import printable, shortened

Array = Any
T = TypeVar("T")

NOTHING, DENSE = -2, -1  # forms of a gradient; that of a row-sparse one is the number of its rows


class RankFailed(RuntimeError):
    """Another rank failed; its error is in the message."""


def together(comm: Any, function: Callable[..., T], *args: Any) -> T:
    """The value of a function that every rank calls; where it fails on one, no rank goes on.

    >>> together(None, max, 1, 2)  # a process alone
    2

    Raises:
        RankFailed: where it failed on another rank; on that rank itself, its error is raised.
    """
    if comm is None:
        return function(*args)
    values: list[T] = []
    gathered(comm, lambda: values.append(function(*args)))
    return values[0]


def gathered(comm: Any, function: Callable[[], T]) -> list[T]:
    """The values of a function on all ranks; it fails as `together` does, for a value too that cannot be sent."""
    try:
        sent = pickle.dumps(function())  # here, as an error in allgather would leave the other ranks waiting
    except BaseException as error:
        comm.allgather((f"{type(error).__name__}: {error}", None))
        raise
    everyone = comm.allgather((None, sent))
    for rank, (problem, _) in enumerate(everyone):
        if problem is not None:
            raise RankFailed(f"rank {rank} failed, and no rank goes on without it: {printable(problem)}")
    return [pickle.loads(value) for _, value in everyone]


def require_same(everyone: Sequence[Mapping[str, Any]]) -> None:
    """Refuse facts that are not the same on every rank.

    >>> require_same([{"lr": 0.1}, {"lr": 0.1}, {"lr": 0.2}])
    Traceback (most recent call last):
    ValueError: every rank needs the same lr, got 0.1 on rank 0 and 0.2 on rank 2
    """
    first = everyone[0]
    for rank, other in enumerate(everyone):
        for name in [*first, *other]:
            if name not in first or name not in other or not _equal(first[name], other[name]):
                one, two = (shortened(facts.get(name, "none"), 200) for facts in (first, other))
                different = f"got {one} on rank 0 and {two} on rank {rank}"
                raise ValueError(f"every rank needs the same {printable(name)}, {different}")


def _equal(x: Any, y: Any) -> bool:
    """Are facts the same? NaN is the same as NaN, in containers too."""
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        return x.keys() == y.keys() and all(_equal(x[key], y[key]) for key in x)
    if isinstance(x, tuple | list) and type(x) is type(y):
        return len(x) == len(y) and all(map(_equal, x, y))
    return bool(x == y or (x != x and y != y))


def require_arrays(arrays: Iterable[Any]) -> None:
    """Refuse what cannot be sent: arrays of other libraries, and those of a function that is being compiled."""
    for x in arrays:
        if type(x) is not np.ndarray:
            raise TypeError(
                f"ranks exchange NumPy arrays, got a {type(x).__name__}; of a training step compile the loss and its "
                "backward(), and call clip_grad_norm and optimizer.step() outside of the compiled function"
            )


def fact(x: Any) -> Any:
    """An array as ranks compare it, by its hash; anything else as it is."""
    if not hasattr(x, "dtype"):
        return x
    digest = blake2b(np.ascontiguousarray(x).data, digest_size=8).hexdigest()
    return f"{x.dtype} {x.shape} with the hash {digest}"


def summed(comm: Any, facts: Mapping[str, Any], like: Sequence[Array], read: Callable[[], Sequence[Any]]) -> list[Any]:
    """The sums of gradients over the ranks, the same to the bit on all of them.

    Dense ones are summed in one buffer for each dtype. Of row-sparse ones the rows are gathered; where another rank has
    a dense gradient for the same parameter, the sum is dense. None is a gradient of zero, and the sum of nothing else.

    Args:
        facts: what has to be the same on every rank.
        like: the parameters' arrays, whose shapes and dtypes the gradients have.
        read: returns this rank's gradients; where it fails, `together` says what happens.
    """
    gradients: list[Any] = []

    def forms() -> tuple[Mapping[str, Any], list[int]]:
        require_arrays(like)
        gradients[:] = read()
        return facts, [_form(g) for g in gradients]

    everyone = gathered(comm, forms)
    require_same([facts for facts, _ in everyone])
    columns = list(zip(*(forms for _, forms in everyone)))  # of each parameter, the forms of its gradient by the rank
    dense = [i for i, column in enumerate(columns) if DENSE in column]
    sparse = [i for i, column in enumerate(columns) if DENSE not in column and max(column) > NOTHING]
    sums: list[Any] = [None] * len(columns)
    for numbers in _by_dtype(dense, like):
        total = _total(comm, [np.zeros_like(like[i]) if gradients[i] is None else gradients[i] for i in numbers])
        for i, part in zip(numbers, np.split(total, np.cumsum([like[i].size for i in numbers])[:-1])):
            sums[i] = part.reshape(like[i].shape)
    if sparse:
        mine = [_no_rows(like[i]) if gradients[i] is None else gradients[i].merged() for i in sparse]
        counts = [[max(form, 0) for form in columns[i]] for i in sparse]
        indices = dict(zip(sparse, _of_all_ranks(comm, [at for at, _ in mine], counts)))
        for numbers in _by_dtype(sparse, like):
            of_dtype = [(rows, n) for i, (_, rows), n in zip(sparse, mine, counts) if i in numbers]
            for i, rows in zip(numbers, _of_all_ranks(comm, *zip(*of_dtype))):
                parts = [(at, r) for at, r in zip(indices[i], rows) if len(at)]
                sums[i] = RowSparse(parts or [(indices[i][0], rows[0])], like[i].shape)
    return sums


def _form(g: Any) -> int:
    if not isinstance(g, RowSparse):
        return NOTHING if g is None else DENSE
    at = g.indices
    if len(at) and not 0 <= at[0] <= at[-1] < len(g):  # in the exchange it would be an error of this rank alone
        raise IndexError(f"a row-sparse gradient needs rows of its table of {len(g)}, got rows {at[0]} to {at[-1]}")
    return len(at)


def _by_dtype(numbers: Iterable[int], like: Sequence[Array]) -> list[list[int]]:
    found: dict[Any, list[int]] = {}
    for i in numbers:
        found.setdefault(like[i].dtype, []).append(i)
    return list(found.values())


def _joined(arrays: Iterable[Array]) -> Array:
    """Arrays of one dtype as one buffer, in this machine's byte order, which MPI assumes."""
    flat = [np.asarray(x).reshape(-1) for x in arrays]
    return np.concatenate(flat, dtype=flat[0].dtype.newbyteorder("="))


def _total(comm: Any, arrays: Iterable[Array]) -> Array:
    mine = _joined(arrays)
    total = np.empty_like(mine)
    comm.Allreduce(mine, total)
    return total


def _no_rows(x: Array) -> tuple[Array, Array]:
    return np.zeros(0, np.int64), np.zeros_like(x, shape=(0, *x.shape[1:]))


def _of_all_ranks(comm: Any, mine: Sequence[Array], counts: Sequence[Sequence[int]]) -> list[list[Array]]:
    """Of each array the parts of all ranks, which have so many rows."""
    forms = [[(n, *x.shape[1:]) for n in of_ranks] for x, of_ranks in zip(mine, counts)]
    shapes = [shape for of_rank in zip(*forms) for shape in of_rank]  # as they arrive: rank by rank
    sizes = np.array([math.prod(shape) for shape in shapes])
    sent = _joined(mine)
    received = np.empty_like(sent, shape=np.sum(sizes))
    comm.Allgatherv(sent, (received, np.sum(sizes.reshape(-1, len(mine)), axis=1).tolist()))
    parts = [part.reshape(shape) for part, shape in zip(np.split(received, np.cumsum(sizes)[:-1]), shapes)]
    return [parts[i :: len(mine)] for i in range(len(mine))]
