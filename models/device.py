"""The device that a model is trained on: the one place that moves arrays there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigrad.trees import map_leaves

Tree = Any


def is_array(x: Any) -> bool:
    """Is it an array of any library? NumPy's numbers are none."""
    return hasattr(x, "__array_function__")


def _same(x: Any) -> Any:
    return x


@dataclass(frozen=True)
class Device:
    """How an array of NumPy's becomes one of the device's, and the reverse; the default is the processor.

    >>> Device().to({"W": 1.0})
    {'W': 1.0}
    """

    put: Callable[[Any], Any] = _same
    fetch: Callable[[Any], Any] = _same

    def to(self, tree: Tree) -> Tree:
        """A tree with its arrays on the device."""
        return map_leaves(lambda x: self.put(x) if is_array(x) else x, tree)

    def back(self, tree: Tree) -> Tree:
        """A tree from the device with its arrays as NumPy's."""
        return map_leaves(lambda x: self.fetch(x) if is_array(x) else x, tree)

    def check(self, compiled: str | None, comm: Any) -> None:
        """Can a training step there be compiled, or shared among processes?

        Raises:
            ValueError: where it cannot.
        """
        if self != CPU and compiled is not None:
            raise ValueError("compiled steps take NumPy's arrays only: train without --compile, or with --device cpu")
        if self != CPU and comm is not None:
            raise ValueError("a GPU is used by one process: train without mpiexec, or with --device cpu")


CPU = Device()


def named(name: str) -> Device:
    """The device "cpu" or "gpu".

    Raises:
        ValueError: for "gpu" without CuPy, or without a GPU that CuPy finds.
    """
    if name == "cpu":
        return CPU
    try:
        import cupy
    except ImportError:
        raise ValueError('--device gpu needs CuPy: pip install -e ".[arrays]"') from None
    if not cupy.cuda.is_available():
        raise ValueError(
            "--device gpu needs an NVIDIA GPU and its driver, and CuPy finds none; train with --device cpu"
        )
    return Device(cupy.asarray, cupy.asnumpy)
