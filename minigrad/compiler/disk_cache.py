"""Compiled code on disk: a program that one process has compiled with numba is not compiled in the next."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from minigrad.files import is_private, replacing

MAX_SIZE = 100_000_000  # bytes; a step takes some 200,000
DIGEST_SIZE = sha256().digest_size
REFUSED: set[Path] = set()  # folders in which nothing could be kept


class DiskCache:
    """The cache of a function that numba compiles: a file for each kind of arguments.

    numba's own cache wants the function in a source file, misses a change of a function that it calls, lets two
    processes that write at once take one another's code, and raises where a file is damaged or the disk is full.

    Args:
        origin: what the code is made from, but the types of the arguments, the compiler and the machine.
    """

    def __init__(self, origin: str) -> None:
        self.origin, self.folder = origin, cache_folder()
        self.cache_path = str(self.folder)

    def load_overload(self, types: Any, target: Any) -> CompileResult | None:
        """The code for some types of arguments, None where it has to be compiled."""
        target.refresh()
        path = self.path(types, target.codegen())
        try:
            content = path.read_bytes() if is_private(self.folder) else b""
        except OSError:
            return None
        if content[:DIGEST_SIZE] != checksum(path, content[DIGEST_SIZE:]):
            return None
        with suppress(OSError):
            os.utime(path)  # the entries that were not used for longest are removed first
        return CompileResult._rebuild(target, *pickle.loads(content[DIGEST_SIZE:]))

    def save_overload(self, types: Any, result: CompileResult) -> None:
        """Keep the code for some types of arguments, where that is possible and safe."""
        if result.library.has_dynamic_globals:  # addresses that hold in this process alone
            return
        path, code = self.path(types, result.codegen), dumps(result._reduce())
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            if not is_private(self.folder):
                raise PermissionError(f"{self.folder}: needed a folder that nobody else can change")
            with replacing(path) as file:
                file.write(checksum(path, code) + code)
        except OSError as error:
            warn_once(self.folder, error)
            return
        remove_oldest(self.folder)

    def path(self, types: Any, codegen: Any) -> Path:
        """The file of an entry, named by all that its code depends on."""
        made_by = numba.__version__, np.__version__, sys.implementation.cache_tag, codegen.magic_tuple()
        settings = str(numba.config.OPT), numba.config.BOUNDSCHECK, numba.config.USING_SVML
        name = sha256(repr((self.origin, types, made_by, settings)).encode()).hexdigest()
        return self.folder / f"{name}.code"


def cache_folder() -> Path:
    """Where numba's users expect it: in NUMBA_CACHE_DIR, otherwise where the system has a user's caches."""
    place = numba.config.CACHE_DIR
    if not place and sys.platform == "win32":
        place = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif not place and sys.platform == "darwin":
        place = "~/Library/Caches"
    elif not place:
        place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.realpath(os.path.expanduser(place)), "minigrad")


def checksum(path: Path, code: bytes) -> bytes:
    """What an entry starts with: a file that is damaged, or that belongs to another entry, starts otherwise."""
    return sha256(path.name.encode() + code).digest()


def remove_oldest(folder: Path) -> None:
    """Keep what was used last, as far as there is room."""
    size = 0
    with suppress(OSError):  # another process may remove them too
        for path in sorted(folder.glob("*.code"), key=os.path.getmtime, reverse=True):
            size += path.stat().st_size
            if size > MAX_SIZE:
                path.unlink()


def warn_once(folder: Path, error: OSError) -> None:
    """Warn that nothing can be kept in a folder, not again for the next function."""
    if folder not in REFUSED:
        REFUSED.add(folder)
        warnings.warn(
            f"compiled code is not kept on disk ({error}), and the next process compiles it again; "
            "set NUMBA_CACHE_DIR to a folder of your own",
            stacklevel=2,
        )
