"""Trees in files, and minibatches."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigrad._tensor import Tensor
from minigrad.errors import conversion
from minigrad.files import replacing
from minigrad.operands import is_lazy, moved
from minigrad.text import printable, shortened
from minigrad.trees import leaves, names, paths, unflatten

Array = Any
NUMBERS = "biufc"


def save(tree: Any, path: str | Path) -> None:
    """Save the numbers in a tree: arrays, Tensors and Python's numbers, each under its path in the tree.

    >>> import minigrad as mg
    >>> save({"W": mg.Tensor([1.0, 2.0]), "layers": [3.0]}, "model.npz")  # doctest: +SKIP
    >>> load("model.npz")  # doctest: +SKIP
    {'W': array([1., 2.]), 'layers.0': array(3.)}

    The file is written whole or not at all. Static fields, strings, functions and None are not saved: `load` takes them
    from a tree of the same form.

    Args:
        tree: a model, a list, a dict, an optimizer's `state_dict()`, and whatever else is made of containers.
        path: .npz is NumPy's own format, without pickle; .safetensors is the format of the library of that name, the
            extra `models`, which PyTorch users read and write too.

    Raises:
        ValueError: for another suffix, two leaves of one name, or a tree without numbers.
        TypeError: for an array that is not NumPy's, or not of numbers.
    """
    kind = _format(path)
    arrays: dict[str, Array] = {}
    for name, where, leaf in zip(names(tree), paths(tree), leaves(tree)):
        if not _is_saved(leaf):
            continue
        if name in arrays or printable(name) != name:
            wrong = "two of the name" if name in arrays else "one of the name"
            raise ValueError(f"saving needs a name of its own for each array, and printable ones, got {wrong} {name!r}")
        arrays[name] = _plain(leaf, where)
    if not arrays:
        raise ValueError(f"saving needs numbers, got a {type(tree).__name__} without any")
    with replacing(path) as file:
        kind.write(file, arrays)


def load(path: str | Path, like: Any = None) -> Any:
    """Load what `save` has saved: a dict of arrays by name, or a tree of the form of another.

    >>> import minigrad as mg
    >>> model = load("model.safetensors", like=model)  # doctest: +SKIP

    Args:
        path: .npz or .safetensors.
        like: a tree. Its numbers are replaced by those in the file, as Tensors where it has Tensors; a Tensor in two
            places stays one. All else (functions, static fields) is kept.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: for a damaged file; where a name, a shape or a dtype is another one: every mismatch is listed by its
            path, and nothing is loaded.
    """
    arrays = _format(path).read(Path(path))
    if like is None:
        return arrays
    rest = dict(arrays)
    wrong: list[str] = []
    made: dict[int, tuple[str, Any]] = {}

    def loaded(name: str, where: str, leaf: Any) -> Any:
        if not _is_saved(leaf):
            return leaf
        array = rest.pop(name, None)
        needed = _plain(leaf, where)
        if array is None or array.shape != needed.shape or array.dtype != needed.dtype:
            wrong.append(f"{where}: needed {_about(needed)}, got {'nothing' if array is None else _about(array)}")
            return leaf
        if not isinstance(leaf, Tensor):
            return array if isinstance(leaf, np.ndarray) else array[()] if hasattr(leaf, "dtype") else array.item()
        first, tensor = made.setdefault(id(leaf), (where, Tensor(array, name=leaf.name)))
        if not np.array_equal(tensor.data, array, equal_nan=True):
            wrong.append(f"{where}: needed the numbers of {first}, which is the same Tensor, got others")
        return tensor

    places = [path.removeprefix(".") or "the tree" for path in paths(like)]
    values = [loaded(*entry) for entry in zip(names(like), places, leaves(like))]
    wrong += [f"{printable(name)}: needed nothing, got {_about(array)}" for name, array in rest.items()]
    if wrong:
        more = [f"and {len(wrong) - 10} more"] * (len(wrong) > 10)
        raise ValueError("\n  ".join([f"{path} does not fit:", *wrong[:10], *more]))
    return unflatten(like, values)


def _is_saved(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") or isinstance(leaf, bool | int | float | complex)


def _plain(leaf: Any, where: str) -> Array:
    """The array of a leaf as files have it: by rows, in this machine's byte order."""
    value = leaf.data if isinstance(leaf, Tensor) else leaf
    if hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic):
        remedy = conversion(value, "numpy")
        raise TypeError(f"saving needs arrays of NumPy, got {type(value).__name__} at {where}; use {remedy}")
    array = np.array(value, order="C")
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"saving needs arrays of numbers, got dtype {array.dtype} at {where}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _about(array: Array) -> str:
    return f"{array.shape} {array.dtype}"


#: The errors of a damaged archive: of the zip file, of its compression, and of NumPy, which parses headers as Python.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, MemoryError),
    *(ValueError, OverflowError, SyntaxError, TypeError, tokenize.TokenError),
)


class _NPZ:
    """NumPy's archives; `np.savez` itself has no place for arrays called `file` or `allow_pickle`."""

    @staticmethod
    def write(file: Any, arrays: dict[str, Array]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    @staticmethod
    def read(path: Path) -> dict[str, Array]:
        with open(path, "rb") as file:
            try:
                archive = np.load(file, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it holds a single array")
                return {name: archive[name] for name in archive}
            except _DAMAGE as error:
                raise _damaged(path, error) from None


class _SafeTensors:
    @staticmethod
    def write(file: Any, arrays: dict[str, Array]) -> None:
        for name, array in arrays.items():
            if array.dtype.kind == "c" or array.dtype.itemsize > 8:
                raise TypeError(f".safetensors has no {array.dtype}, got it at {name}; save .npz")
        file.write(_safetensors().numpy.save(arrays))

    @staticmethod
    def read(path: Path) -> dict[str, Array]:
        library = _safetensors()
        try:
            found: dict[str, Array] = library.numpy.load(path.read_bytes())
        except (library.SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from None
        return found


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(".safetensors needs the library safetensors: pip install safetensors; or save .npz") from None
    return safetensors


def _format(path: str | Path) -> Any:
    suffix = Path(path).suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{printable(path)}: needed .npz or .safetensors, got {printable(suffix) or 'no suffix'}")
    return _NPZ if suffix == ".npz" else _SafeTensors


def _damaged(path: Path, error: Exception) -> ValueError:
    kind = path.suffix.lower()
    return ValueError(f"{printable(path)}: needed arrays saved as {kind}, got something else ({shortened(error)})")


def batches(rng: np.random.Generator | None, size: int, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Minibatches: the examples in a random order, each once; the last minibatch may be smaller.

    >>> x, y = np.arange(10.0), np.arange(10)
    >>> [len(part) for part, _ in batches(np.random.default_rng(0), 4, x, y)]
    [4, 4, 2]

    Args:
        rng: the generator that draws the order; None for the order as it is.
        size: the number of examples in a minibatch.
        arrays: whose first axis is that of the examples.

    Raises:
        ValueError: for arrays of different lengths, none, or a size below 1.
    """
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) != 1 or size < 1:
        raise ValueError(f"minibatches need a size above 0 and arrays of one length, got {size} and lengths {lengths}")
    order = np.arange(lengths[0]) if rng is None else rng.permutation(lengths[0])
    parts = (order[i : i + size] for i in range(0, lengths[0], size))
    return (tuple(a[rows if is_lazy(a) else moved(rows, a)] for a in arrays) for rows in parts)
