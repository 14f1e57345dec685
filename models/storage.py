"""Files of arrays: written whole or not at all, and read without trusting them."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from minigrad.text import shortened

if sys.platform != "win32":
    import fcntl

Array = Any
Shape = tuple[int, ...]

# What NumPy writes before an array in format 1.0, in the types that `write` saves; NumPy's own reader evaluates it as a
# literal. Its numbers are not 0: no array is empty, so that as many as there are elements fit into the file.
N = rb"[1-9]\d{0,17}"
HEADER = re.compile(
    rb"\{'descr': '<([fU])(%b)', 'fortran_order': False, 'shape': \((|%b,|%b(?:, %b)+)\), \} *\n" % (N, N, N, N)
)
FLOATS = "<f4", "<f8"


def check_destination(path: str | Path) -> None:
    """Would saving to a path work, as far as can be known before there is anything to save?

    Raises:
        OSError: where it would not: a folder that is missing or closed, a name that is too long, a FIFO.
    """
    with _part(_destination(path)):
        pass


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of the one at path when it is complete.

    Symbolic links are followed, and a file that is replaced passes its mode on. Parts that a killed process has left
    under the same name are removed.
    """
    target = _destination(path)
    with _part(target) as file:
        with suppress(FileNotFoundError):
            os.chmod(file.name, stat.S_IMODE(os.stat(target).st_mode))
        yield file
        file.flush()
        os.fsync(file.fileno())
        if sys.platform == "win32":  # cannot rename an open file; elsewhere it stays locked until it has its name
            file.close()
        os.replace(file.name, target)
    with suppress(OSError):  # the rename itself lasts once the folder is on disk; not every system can say so
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _destination(path: str | Path) -> Path:
    """The file that saving to a path replaces or makes."""
    target = Path(os.path.realpath(path))
    for folder in Path(path).parent, target.parent:
        if not folder.exists():
            raise FileNotFoundError(f"{path}: needed a folder that exists; make {folder} first")
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return target
    if not stat.S_ISREG(mode):
        raise OSError(f"{path}: needed a file to replace, got {_kind(mode)}; choose another name")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{path}: needed a file that may be replaced, got a write-protected one")
    return target


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"


@contextmanager
def _part(target: Path) -> Iterator[IO[bytes]]:
    """A new file beside the target, which is gone afterwards unless it was renamed.

    It is locked while it is written, by which others can tell it from one that a killed process has left.
    """
    name = target.name
    if len(os.fsencode(name)) > 200:  # of the 255 that most systems allow
        name = sha256(os.fsencode(name)).hexdigest()
    stale = re.compile(re.escape(name) + r"[0-9a-z_]{8}\.part")
    with suppress(OSError), os.scandir(target.parent) as entries:  # a folder may be writable and not readable
        for entry in entries:
            if stale.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_unless_locked(entry.path)
    file = _locked_file(target.parent / name)
    try:
        with file:
            yield file
    finally:
        with suppress(FileNotFoundError):
            os.unlink(file.name)


def _locked_file(stem: Path) -> IO[bytes]:
    while True:
        file = open(f"{stem}{os.urandom(4).hex()}.part", "xb")  # noqa: SIM115
        if sys.platform != "win32":
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # it was not removed before it was locked
            return file
        file.close()


def _remove_unless_locked(path: str) -> None:
    with suppress(OSError), open(path, "rb") as file:
        if sys.platform != "win32":  # where an open file cannot be removed
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


def write(path: str | Path, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Save a description, which JSON can express, and arrays in float32 or float64: an .npz file.

    Raises:
        OSError: where the file cannot be written; one that was there is as before.
        ValueError: for arrays that `Reader` would refuse.
    """
    plain = {}
    for name, a in arrays.items():
        plain[name] = np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")).reshape(a.shape)
        if plain[name].dtype.str not in FLOATS:
            raise ValueError(f"{path}: needed float32 or float64 to save, got {a.dtype} in {name}")
        _check_finite(f"{name} for {path}", a)
    with replacing(path) as file:
        np.savez(file, about=json.dumps(about), **plain)  # type: ignore[arg-type]


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
        raise ValueError(f"{path}: needed {kind}, got {_kind(mode)}")
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
