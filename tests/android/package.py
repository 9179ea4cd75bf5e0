"""Fetches ONNX Runtime's official Android package, which a package of npm has inside, and unpacks what is needed."""

import base64
import hashlib
import shutil
import tarfile
import zipfile
from pathlib import Path

from tests.runtime.kernels.arm64.machine import Unready, call

NAME, VERSION = "com.github.asus4.onnxruntime", "0.4.9"
INTEGRITY = "sha512-BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg=="
"""Of the package's file, as npm writes it into a lock file."""
RUNTIME = "1.29.0"
"""The version of onnxruntime-android inside."""
ARCHIVE = "package/Plugins/Android/onnxruntime.aar"
LINUX = "package/Plugins/Linux/x64/libonnxruntime.so"
"""A build for Linux of the same sources."""


def fetch(folder: Path) -> Path:
    """The unpacked package below a folder: ``jni/ABI/libonnxruntime.so``, ``headers/`` and ``linux/libonnxruntime.so``.

    It comes from the registry that npm is configured with, 150 MB, the first time.

    Raises:
        Unready: npm is missing or fails, or the file is another one than ``INTEGRITY`` says.
    """
    unpacked = folder / "package"
    if unpacked.exists():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{NAME}-{VERSION}.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            raise Unready("npm: not found; on Debian, apt install npm")
        call("npm", "pack", "--silent", f"--pack-destination={folder}", f"{NAME}@{VERSION}")
    check(archive)
    unpack(archive, unpacked)
    return unpacked


def check(archive: Path, integrity: str = INTEGRITY) -> None:
    """Refuse a file that has another checksum.

    Raises:
        Unready: naming the file and the remedy.
    """
    algorithm, _, wanted = integrity.partition("-")
    with archive.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, algorithm).digest()).decode()
    if found != wanted:
        raise Unready(f"{archive}: is not the pinned package ({algorithm} {found}); delete it and try again")


def unpack(archive: Path, target: Path) -> None:
    """Unpack the Android archive inside and the library for Linux; the folder gets its name when it is complete."""
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "linux").mkdir(parents=True)
    with tarfile.open(archive) as package:
        _copy(package, ARCHIVE, part / "onnxruntime.aar")
        _copy(package, LINUX, part / "linux" / "libonnxruntime.so")
    with zipfile.ZipFile(part / "onnxruntime.aar") as inside:
        inside.extractall(part)
    part.rename(target)


def _copy(package: tarfile.TarFile, member: str, target: Path) -> None:
    try:
        source = package.extractfile(member)
    except KeyError:
        source = None
    if source is None:
        raise Unready(f"{package.name}: has no {member}")
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
