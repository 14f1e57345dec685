"""Files of arrays: read without trusting them."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from minigrad.files import check_destination, kind_of_file, replacing
from minigrad.text import shortened

Array = Any
Shape = tuple[int, ...]

# What NumPy writes before an array in format 1.0, in the types that `write` saves; NumPy's own reader evaluates it as a
# literal. Its numbers are not 0: no array is empty, so that as many as there are elements fit into the file.
N = rb"[1-9]\d{0,17}"
HEADER = re.compile(
    rb"\{'descr': '<([fU])(%b)', 'fortran_order': False, 'shape': \((|%b,|%b(?:, %b)+)\), \} *\n" % (N, N, N, N)
)
FLOATS = "<f4", "<f8"


def check_destinations(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Check each output of a command, as `check_destination` does, and that no two of its files are one.

    Raises:
        OSError: where a file could not be written.
        ValueError: where two names lead to one file.
    """
    used = {os.path.realpath(path) for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        if os.path.realpath(path) in used:
            raise ValueError(f"{path} is already the name of another file of this command; choose another name")
        used.add(os.path.realpath(path))
        check_destination(path)


def write(path: str | Path, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Save a description, which JSON can express, and arrays in float32 or float64: an .npz file.

    Raises:
        OSError: where the file cannot be written; one that was there is as before.
        ValueError: for arrays that `Reader` would refuse.
    """
    plain = storable(path, arrays)
    with replacing(path) as file:
        np.savez(file, about=json.dumps(about), **plain)


def storable(path: str | Path, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays as `write` saves them, which refuses the others."""
    plain = {}
    for name, a in arrays.items():
        plain[name] = np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")).reshape(a.shape)
        if plain[name].dtype.str not in FLOATS:
            raise ValueError(f"{path}: needed float32 or float64 to save, got {a.dtype} in {name}")
        _check_finite(f"{name} for {path}", a)
    return plain


def _check_finite(name: str, a: Array) -> None:
    if not np.isfinite(a).all():
        raise ValueError(f"needed finite numbers, got {a[~np.isfinite(a)][0]} in {name}")


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[Reader]:
    """Read a file that `write` wrote; whatever is wrong with it, also while the caller checks it, is one ValueError.

    >>> with reading("model.npz", "a model") as file:  # doctest: +SKIP
    ...     arrays = file.arrays({"W": (8, 20)})

    Raises:
        OSError: where there is no file, or it cannot be opened.
        ValueError: for a file that `write` did not write.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # opening a FIFO would wait, and a device may have no end
        raise ValueError(f"{path}: needed {kind}, got {kind_of_file(mode)}")
    with open(path, "rb") as raw:
        try:
            yield Reader(raw)
        except (
            *(zipfile.BadZipFile, struct.error, EOFError, OSError, OverflowError, ValueError),
            RuntimeError,  # zipfile's for encrypted files, also NotImplementedError; RecursionError of nested JSON
        ) as error:
            problem = shortened(error)  # which quotes the file
            raise ValueError(f"{path}: needed {kind}, got something else or a damaged one ({problem})") from None


class Member(NamedTuple):
    """An array in a file, before it is read."""

    info: zipfile.ZipInfo
    start: int  # of the data, after the header
    dtype: str
    itemsize: int
    shape: Shape


class Reader:
    """The arrays in a file, of which nothing is read before its size is known to be right.

    Nothing that `write` never writes is read at all. As `write` does not compress, no array is larger than the file.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(raw)
        infos = self._zip.infolist()
        self.members = {info.filename.removesuffix(".npy"): self._member(info) for info in infos}
        if len(self.members) < len(infos):
            raise ValueError("two arrays have the same name")
        if sum(info.file_size for info in infos) > raw.seek(0, os.SEEK_END):
            raise ValueError("its arrays are larger than the file")

    def _member(self, info: zipfile.ZipInfo) -> Member:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits:
            raise ValueError(f"{info.filename!r} is compressed or encrypted")
        with self._zip.open(info) as stream:
            magic, length = stream.read(8), int.from_bytes(stream.read(2), "little")
            found = HEADER.fullmatch(stream.read(length))
        if magic != b"\x93NUMPY\1\0" or not found:
            raise ValueError(f"{info.filename!r} is not an array of the kind that is saved")
        kind, size = found[1].decode(), int(found[2])
        shape = tuple(int(n) for n in re.findall(rb"\d+", found[3]))
        itemsize = 4 * size if kind == "U" else size
        if 10 + length + itemsize * prod(shape) != info.file_size:
            raise ValueError(f"{info.filename!r} has another size than its shape {shape} needs")
        return Member(info, 10 + length, f"<{kind}{size}", itemsize, shape)

    def about(self) -> dict[str, Any]:
        """The description."""
        (text,) = self.strings("about", ())
        about = json.loads(text)
        if not isinstance(about, dict) or json.dumps(about) != text:
            raise ValueError("its description is not as it is written")
        return about

    def strings(self, name: str, shape: Shape) -> list[str]:
        """The strings of an array, of which NumPy does not keep trailing NULs."""
        data, size = self._data(name, shape, "<U"), self.members[name].itemsize
        items = (data[i * size : (i + 1) * size] for i in range(prod(shape)))
        return [item.decode("utf-32-le", "surrogatepass").rstrip("\0") for item in items]

    def arrays(self, shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """The arrays of floats in the file, which have to be of these names and shapes; all numbers are finite."""
        found = {name: m.shape for name, m in self.members.items() if m.dtype in FLOATS}
        if found != dict(shapes):
            raise ValueError(f"needed arrays {dict(shapes)}, got {found}")
        arrays = {}
        for name, shape in shapes.items():
            dtype = np.dtype(self.members[name].dtype)
            a = np.frombuffer(self._data(name, shape, "<f"), dtype).reshape(shape).astype(dtype.newbyteorder("="))
            _check_finite(name, a)
            arrays[name] = a
        return arrays

    def _data(self, name: str, shape: Shape, kind: str) -> bytes:
        member = self.members.get(name)
        if member is None or member.shape != shape or not member.dtype.startswith(kind):
            raise ValueError(f"needed an array {name} {shape}, got {member and member.shape}")
        with self._zip.open(member.info) as stream:
            stream.read(member.start)
            return stream.read()
