"""Temporary files and folders: gone in the end, and removed where their process is gone."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from sparcl_compile.interface import flock, temporary
from sparcl_compile.interface.exchange import exchange
from tests.support.cli import contents


def leave(path: Path, kind: str = temporary.NEW, end: str = "abc_1234", text: str = "") -> Path:
    """A folder as a killed process leaves it."""
    left = path.with_name(f".{path.name}.{kind}.{end}")
    left.mkdir()
    (left / "file").write_text(text)
    return left


def test_clear_takes_only_its_own(tmp_path: Path) -> None:
    kept = ("a[1].txt", ".a[1].txt.abc_1234", ".a[1].txt.lock", ".a1.txt.new.abc_1234", ".a[1].txt.new.ABC_1234", "b")
    gone = (".a[1].txt.new.abc_1234", ".a[1].txt.old.abc_1234")
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    leave(tmp_path / "a[1].txt", end="folder_1")
    temporary.clear(tmp_path / "a[1].txt")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


@pytest.mark.parametrize("make", [temporary.new_file, temporary.new_folder])
def test_one_in_use_stays(make: type, tmp_path: Path) -> None:
    with make(tmp_path / "a") as made:
        temporary.clear(tmp_path / "a")
        assert os.listdir(tmp_path) == [made.name]
    assert os.listdir(tmp_path) == []


def test_one_in_use_stays_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with temporary.held(tmp_path / "a"):
        (tmp_path / "a").rename(tmp_path / ".a.old.abc_1234")
        temporary.clear(tmp_path / "a")
        assert os.listdir(tmp_path) == [".a.old.abc_1234"]
    temporary.clear(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


def test_one_that_was_taken_for_a_leftover_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, names = temporary._make_folder, []

    def removed_at_first(prefix: str, folder: Path) -> str:
        names.append(make(prefix, folder))
        if len(names) == 1:
            temporary.clear(tmp_path / "a")
        return names[-1]

    monkeypatch.setattr(temporary, "_make_folder", removed_at_first)
    with temporary.new_folder(tmp_path / "a") as made:
        assert made.is_dir()
        assert str(made) == names[1]
    monkeypatch.setattr(temporary, "_make_folder", lambda prefix, folder: str(folder / "never"))
    with pytest.raises(OSError, match="another process"), temporary.new_folder(tmp_path / "a"):
        pass


def test_the_old_version_comes_back_where_there_is_none(tmp_path: Path) -> None:
    leave(tmp_path / "a", temporary.OLD, text="old")
    leave(tmp_path / "a", text="half")
    temporary.mend(tmp_path / "a")
    assert (tmp_path / "a" / "file").read_text() == "old"
    leave(tmp_path / "a", temporary.OLD, text="older")
    temporary.clear(tmp_path / "a")
    assert list(contents(tmp_path)) == ["a", "a/file"]
    assert (tmp_path / "a" / "file").read_text() == "old"


@pytest.mark.parametrize("system", ["no locks", "not on this file system"])
def test_without_locks_nothing_is_removed(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if system == "no locks":
        monkeypatch.setattr(flock, "fcntl", None)
    else:
        monkeypatch.setattr(flock.fcntl, "flock", unsupported)
    left = leave(tmp_path / "a")
    with temporary.new_folder(tmp_path / "a") as made:
        temporary.clear(tmp_path / "a")
        assert sorted(os.listdir(tmp_path)) == sorted([left.name, made.name])
    assert os.listdir(tmp_path) == [left.name]


def test_exchange(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system has no exchange")
    assert list(contents(tmp_path)) == ["a", "a/b", "b", "b/a"]
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "c")


def test_a_file_is_locked_by_a_handle_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS wants it."""
    take, modes = flock.take, []

    def noted(handle: int, shared: bool = False) -> bool | None:
        modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)
        return take(handle, shared)

    monkeypatch.setattr(flock, "take", noted)
    with temporary.new_file(tmp_path / "a"), temporary.new_folder(tmp_path / "a"):
        assert modes == [os.O_RDWR, os.O_RDONLY]


def test_a_link_in_the_place_of_a_leftover_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / ".a.new.abc_1234").symlink_to(tmp_path / "precious")
    temporary.clear(tmp_path / "a")
    assert list(contents(tmp_path / "precious")) == ["file"]
