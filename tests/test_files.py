"""Files are replaced whole or not at all."""

import os
import stat

import pytest

from minigrad import files


def put(path, content):
    with files.replacing(path) as file:
        file.write(content)


def test_a_symbolic_link_is_followed_and_the_mode_of_a_file_kept(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "model", tmp_path / "link"
    link.symlink_to(target)
    put(link, b"new")  # the link may point to what is not there yet
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask()
    target.chmod(0o640)
    put(link, b"newer")
    assert link.is_symlink() and target.read_bytes() == b"newer" and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(target.parent) == ["model"]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def bad_destinations(folder):
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"")
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nowhere").symlink_to(folder / "no" / "such" / "file")
    return ["folder", "fifo", "loop", "nowhere", "file/x", "no/such/x", "x" * 256, "/dev/null", "/proc/x", ""]


def test_a_destination_that_cannot_be_written_is_found_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = bad_destinations(tmp_path)
    before = sorted(os.listdir())
    for path in bad:
        with pytest.raises(OSError) as error:
            files.check_destination(path)
        assert len(str(error.value).splitlines()) == 1
        with pytest.raises(OSError):
            put(path, b"x")
    for path in "x", "x" * 250, "ä" * 120, "file":
        files.check_destination(path)
    assert sorted(os.listdir()) == before
    assert stat.S_ISFIFO(os.stat("fifo").st_mode)


def test_parts_of_a_killed_run_are_removed_and_those_of_a_running_one_and_of_others_not(tmp_path):
    path = tmp_path / "m.npz"
    for name in "m.npz0123abcd.part", "m.npzk3_0x9yz.part":
        (tmp_path / name).write_bytes(b"half")
    others = {"m.npz.part", "other.npz0123abcd.part", "m.npz0123abcd.part.txt", "m0npz0123abcd.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"kept")
    with files.replacing(path) as running:
        running.write(b"first")
        put(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert set(os.listdir(tmp_path)) == others | {"m.npz"}


def test_an_error_while_writing_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "m.npz"
    put(path, b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m.npz"]


def test_a_private_folder_can_be_changed_by_nobody_else(tmp_path, monkeypatch):
    folder = tmp_path / "above" / "own"
    folder.mkdir(0o700, parents=True)
    for above, own, is_private in [
        (0o755, 0o700, True),
        (0o755, 0o755, True),
        (0o775, 0o700, True),  # as many systems make folders, for groups of one user
        (0o1777, 0o700, True),
        (0o777, 0o700, False),
        (0o755, 0o770, False),
        (0o755, 0o702, False),
        (0o755, 0o1777, False),
    ]:
        folder.parent.chmod(above)
        folder.chmod(own)
        assert files.is_private(folder) == is_private
    folder.chmod(0o700)
    folder.parent.chmod(0o755)
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
    else:
        os.chown(folder, 54321, -1)
    assert not files.is_private(folder)
