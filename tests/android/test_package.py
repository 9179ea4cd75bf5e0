import base64
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.android.package import ARCHIVE, INTEGRITY, LINUX, check, unpack
from tests.runtime.kernels.arm64.machine import Unready


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            made.addfile(about, io.BytesIO(content))
    return path


def android(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return raw.getvalue()


def test_the_pinned_checksum_is_one() -> None:
    algorithm, _, digest = INTEGRITY.partition("-")
    assert len(base64.b64decode(digest, validate=True)) == hashlib.new(algorithm).digest_size


def test_a_file_with_the_checksum_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    path.write_bytes(b"content")
    check(path, "sha512-" + base64.b64encode(hashlib.sha512(b"content").digest()).decode())


def test_another_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    path.write_bytes(b"content, changed")
    with pytest.raises(Unready, match=rf"^{re.escape(str(path))}: is not the pinned package \(.*\); delete it and"):
        check(path)


def test_what_is_needed_is_unpacked(tmp_path: Path) -> None:
    inside = android({"jni/x86_64/libonnxruntime.so": b"x86", "headers/onnxruntime_c_api.h": b"header"})
    unpack(archive(tmp_path, {ARCHIVE: inside, LINUX: b"linux", "package/other": b""}), tmp_path / "package")
    found = {path.relative_to(tmp_path / "package").as_posix() for path in (tmp_path / "package").rglob("*.so")}
    assert found == {"jni/x86_64/libonnxruntime.so", "linux/libonnxruntime.so"}
    assert (tmp_path / "package/headers/onnxruntime_c_api.h").read_bytes() == b"header"
    assert not (tmp_path / "package.part").exists()


def test_a_package_without_the_archive_leaves_nothing_half_unpacked(tmp_path: Path) -> None:
    with pytest.raises(Unready, match=f"has no {re.escape(LINUX)}$"):
        unpack(archive(tmp_path, {ARCHIVE: android({})}), tmp_path / "package")
    assert not (tmp_path / "package").exists()
