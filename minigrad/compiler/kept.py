"""Compiled code kept on disk: what numba has compiled once, later processes load.

numba keeps the code of functions that have a file. Generated source is written to one, named by a hash of all that
determines the code: the source, the kernels, and the versions of Python, NumPy and numba. It lies in the user's cache
folder, or in NUMBA_CACHE_DIR. Code is loaded from there, so nobody else may be able to write there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: What pickle raises for damaged data, as its documentation lists it; a file that is gone.
DAMAGED = pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, OSError


def file_of(source: str, kernels: str) -> str | None:
    """The file that holds a source, written if need be; None where there is no folder for it."""
    import numba

    key = repr((source, kernels, sys.version, np.__version__, numba.__version__))
    try:
        path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.py"
        if not path.exists() or path.read_text(encoding="utf-8") != source:
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
                file.write(source)
            os.replace(file.name, path)  # at once: another process may be reading it
    except OSError:
        return None
    return str(path)


def folder() -> Path:
    """The folder for generated source, which belongs to the user alone.

    Raises:
        OSError: where it cannot be made, or others may write into it.
    """
    from numba.core import config
    from numba.misc.appdirs import AppDirs

    path = Path(config.CACHE_DIR, "minigrad") if config.CACHE_DIR else Path(AppDirs("minigrad", False).user_cache_dir)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.stat()
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o022):
        raise PermissionError(f"{path} needs to belong to the user, and to be writable by nobody else")
    return path


def keep(dispatcher: Any, function: Callable[..., Any]) -> None:
    """Let numba load the code of a function that has a file, and save it there."""
    if os.path.isabs(function.__code__.co_filename):
        with contextlib.suppress(RuntimeError):  # numba has no folder for it
            dispatcher._cache = _cache()(function)


@functools.cache
def _cache() -> Any:
    from numba.core.caching import FunctionCache

    class Kept(FunctionCache):  # type: ignore[misc]
        """numba's cache; what cannot be read or written is compiled anew."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            try:
                found = super().load_overload(sig, target_context)
            except DAMAGED:
                return None
            # two processes that save at once may both take the next number for a file
            return found if found is not None and tuple(found.signature.args) == tuple(sig) else None

        def save_overload(self, sig: Any, data: Any) -> None:
            with contextlib.suppress(OSError):
                super().save_overload(sig, data)

    return Kept
