"""Writing files whole or not at all."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


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


def is_private(folder: Path) -> bool:
    """Can nobody but the user, and root, change what is in a folder, or put another in its place?

    The user's group is trusted with the folders above. On Windows, the user's own folders are private.

    Raises:
        OSError: where there is no such folder.
    """
    if sys.platform == "win32":
        return True
    own, *above = map(os.stat, (folder, *folder.parents))
    is_shared = own.st_mode & 0o022 or any(s.st_mode & 0o002 and not s.st_mode & stat.S_ISVTX for s in above)
    return not is_shared and all(s.st_uid in (0, os.geteuid()) for s in (own, *above))


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
        raise OSError(f"{path}: needed a file to replace, got {kind_of_file(mode)}; choose another name")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{path}: needed a file that may be replaced, got a write-protected one")
    return target


def kind_of_file(mode: int) -> str:
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
