"""Files and folders that appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from sparcl_compile.interface import files
from sparcl_compile.interface.errors import WriteError
from tests.support.cli import contents


def fail(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_write_text_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "old")
    files.write_text(path, "é")
    assert path.read_text(encoding="utf-8") == "é"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(contents(tmp_path)) == ["new", "new/a.txt"]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        fail()

    with pytest.raises(WriteError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        files.write_atomically(path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_write_leaves_no_trace(stop: type[BaseException], tmp_path: Path) -> None:
    def interrupted(temporary: Path) -> None:
        temporary.write_text("ne")
        raise stop

    with pytest.raises(stop):
        files.write_atomically(tmp_path / "a.txt", interrupted)
    with pytest.raises(stop), files.staged_folder(tmp_path / "folder") as staging:
        interrupted(staging / "b.txt")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_at_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(WriteError, match="No space left on device"):
        files.write_text(tmp_path / "a.txt", "text")
    with pytest.raises(WriteError, match="No space left on device"):
        write(tmp_path / "a", "text")
    assert os.listdir(tmp_path) == []


def test_check_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    files.check_writable(tmp_path / "file")
    files.check_writable(tmp_path / "new" / "file")
    assert sorted(contents(tmp_path)) == ["file", "new"]
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(WriteError, match="a file stands where a folder is needed"):
        files.check_writable(tmp_path / "file" / "below")
    with pytest.raises(WriteError, match="is a folder"):
        files.check_writable(tmp_path / "new")


def write(target: Path, name: str) -> None:
    with files.staged_folder(target) as staging:
        (staging / name).write_text(name)


def test_staged_folder_appears_whole_and_replaces_whole(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "a", "first")
    assert list(contents(tmp_path)) == ["deep", "deep/a", "deep/a/first"]
    assert (tmp_path / "deep" / "a").stat().st_mode & 0o777 == 0o755
    write(tmp_path / "deep" / "a", "second")
    assert list(contents(tmp_path)) == ["deep", "deep/a", "deep/a/second"]


def test_staged_folder_is_invisible_until_the_end(tmp_path: Path) -> None:
    with files.staged_folder(tmp_path / "a") as staging:
        (staging / "x").touch()
        assert not (tmp_path / "a").exists()
        assert all(name.startswith(".") for name in os.listdir(tmp_path))


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_swap_leaves_the_old_folder(failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "old")
    replace, calls = Path.replace, []

    def counted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            fail()
        return replace(self, target)

    monkeypatch.setattr(files, "exchange", lambda *_: False)
    monkeypatch.setattr(Path, "replace", counted)
    with pytest.raises(WriteError, match="/a: cannot be written"):
        write(tmp_path / "a", "new")
    monkeypatch.undo()
    assert list(contents(tmp_path)) == ["a", "a/old"]


def test_a_failing_exchange_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "old")
    monkeypatch.setattr(files, "exchange", fail)
    with pytest.raises(WriteError, match="/a: cannot be written"):
        write(tmp_path / "a", "new")
    assert list(contents(tmp_path)) == ["a", "a/old"]


def test_without_an_exchange_a_folder_is_replaced_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "exchange", lambda *_: False)
    write(tmp_path / "a", "old")
    write(tmp_path / "a", "new")
    assert list(contents(tmp_path)) == ["a", "a/new"]


def test_the_folder_behind_a_link_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "far" / "a", "old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert [*contents(tmp_path / "far")] == ["a", "a/new"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_set_aside_keeps_its_name_until_the_new_one_comes(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, aside = tmp_path / "a", tmp_path / "a.before"
    if not links:
        monkeypatch.setattr(os, "link", fail)
    for text in ("1", "2", "3"):
        files.write_atomically(path, lambda temporary, text=text: temporary.write_text(text), aside)
    assert (path.read_text(), aside.read_text()) == ("3", "2")
    assert sorted(os.listdir(tmp_path)) == ["a", "a.before"]


def test_an_error_inside_names_the_folder_that_the_user_knows(tmp_path: Path) -> None:
    def blocked() -> None:
        with files.staged_folder(tmp_path / "a") as staging:
            (staging / "b").touch()
            files.write_text(staging / "b" / "c.txt", "")

    with pytest.raises(WriteError, match=r"/a/b/c\.txt: cannot be written"):
        blocked()
    assert os.listdir(tmp_path) == []


def test_staged_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="a file stands where a folder is needed"):
        write(tmp_path / "file" / "a", "x")
