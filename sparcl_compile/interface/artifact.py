"""Reading and writing an artifact folder: manifest, report, checksums and version."""

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from sparcl_compile.interface import locks, temporary
from sparcl_compile.interface.codec import from_plain, plain, to_json
from sparcl_compile.interface.contents import check_graph, check_state
from sparcl_compile.interface.contract import check, first_values
from sparcl_compile.interface.errors import ArtifactError, FieldError
from sparcl_compile.interface.files import readable, sha256, status_of
from sparcl_compile.interface.manifest import FORMAT, VERSION, Manifest
from sparcl_compile.interface.report import CompileReport

MANIFEST = "manifest.json"
REPORT = "report.json"
CHECKSUM = "manifest.sha256"
"""The checksums of the manifest and the report, as ``sha256sum --check`` reads them."""
AGAIN = "compile the model again"

Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A checked artifact: its folder and its manifest (docs/interfaces.md)."""

    folder: Path
    manifest: Manifest

    def path(self, graph: str, samples: str = "uint8") -> Path:
        """The file of one graph; ``samples`` is the type of the raw samples, for a graph that reads them.

        Raises:
            ArtifactError: the artifact has no graphs for samples of this type.
        """
        file = self.manifest.graphs[graph].file
        if isinstance(file, str):
            return self.folder / file
        if samples not in file:
            known = " or ".join(file)
            raise ArtifactError(f"{self.folder}: has no graph {graph} for {samples} samples; give data of {known}")
        return self.folder / file[samples]

    @property
    def identity(self) -> str:
        """The checksum of the manifest, which holds those of all other files but the report."""
        return hashlib.sha256(to_json(self.manifest).encode()).hexdigest()


def write(folder: Path, manifest: Manifest, report: CompileReport) -> Manifest:
    """Write manifest and report of the files below ``folder``; OSError is left to the caller.

    Returns:
        The manifest with the checksums of the files, as it will be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    whole = from_plain(Manifest, plain(dataclasses.replace(manifest, files=sums)))
    for name, content in ((MANIFEST, whole), (REPORT, report)):
        (folder / name).write_text(to_json(content), encoding="utf-8")
    lines = (_checksum_line(folder / name) for name in (MANIFEST, REPORT))
    (folder / CHECKSUM).write_text("".join(lines), encoding="utf-8")
    return whole


def _checksum_line(path: Path) -> str:
    return f"{sha256(path)}  {path.name}\n"


def is_artifact(folder: Path) -> bool:
    """Whether a folder holds an artifact, damaged or not; other programs write a manifest.json, too."""
    try:
        return FORMAT in (folder / MANIFEST).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return os.path.isfile(folder / CHECKSUM)


def check_outside(folder: Path | None, path: Path, field: str) -> None:
    """Raise FieldError for a path in this artifact or another one, which a file there would damage."""
    place = Path(os.path.realpath(path))
    inside = folder is not None and place.is_relative_to(os.path.realpath(folder))
    if inside or any(is_artifact(one) for one in (place, *place.parents)):
        raise FieldError(field, path, "is a compiled artifact or inside of one", "name another place")


def load(folder: str | Path) -> Artifact:
    """Read and check an artifact.

    Raises:
        ArtifactError: not an artifact, of another version, or a file is missing or changed; the message names the file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_sum(folder / REPORT)
    for name, expected in manifest.files.items():
        path = folder / name
        _check_there(path, folder)
        with readable(path, ArtifactError, plain=True):
            found = sha256(path)
        if found != expected:
            raise ArtifactError(f"{path}: is damaged (its checksum differs from the manifest's); {AGAIN}")
    _check_contents(folder, manifest)
    return Artifact(folder, manifest)


def _check_contents(folder: Path, manifest: Manifest) -> None:
    state = folder / manifest.state_file
    with _sound(state):
        check_state(state, first_values(manifest))
    for graph in (folder / name for name in manifest.files if name.endswith(".onnx")):
        with _sound(graph):
            check_graph(graph)


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """A block in which a ValueError means that a file is not as it must be."""
    with readable(path, ArtifactError):
        try:
            yield
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{path}: is damaged ({error}); {AGAIN}") from error


@contextlib.contextmanager
def in_use(artifact: Artifact) -> Iterator[None]:
    """Keep an artifact from being replaced while its files are read.

    Raises:
        ArtifactError: it is being replaced, or was since it was loaded.
    """
    with locks.reading(artifact.folder):
        if read_manifest(artifact.folder) != artifact.manifest:
            raise ArtifactError(f"{artifact.folder}: has been compiled again since it was loaded; load it again")
        yield


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact folder.

    Raises:
        ArtifactError: there is none, it is damaged, or of another version.
    """
    temporary.mend(Path(os.path.realpath(folder)))
    path = folder / MANIFEST
    if not _is_there(path):
        raise ArtifactError(
            f"{folder}: is not a compiled artifact (no {MANIFEST}); make one with sparcl-compile MODEL.onnx"
        )
    data = _read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ArtifactError(f"{path}: is not a {FORMAT} manifest; compile the model with sparcl-compile")
    _check_version(path, data.get("version"))
    _check_sum(path)
    manifest = _decoded(Manifest, data, path)
    with _sound(path):
        check(manifest)
    return manifest


def read_report(folder: Path) -> CompileReport:
    """The log of an artifact's compilation; raises ArtifactError where it is missing or damaged."""
    path = folder / REPORT
    _check_sum(path)
    return _decoded(CompileReport, _read_json(path), path)


def _check_version(path: Path, version: object) -> None:
    if version == VERSION:
        return
    newer = isinstance(version, int) and version > VERSION
    mend = "install a newer sparcl-compile" if newer else AGAIN
    raise ArtifactError(f"{path}: has artifact version {version}, this program reads version {VERSION}; {mend}")


def _is_there(path: Path) -> bool:
    with readable(path, ArtifactError):
        there = status_of(path)
    return there is not None and stat.S_ISREG(there.st_mode)


def _check_there(path: Path, folder: Path) -> None:
    """Refuse a file that is missing, and one that a link below the folder leads to: it may lie anywhere."""
    if not _is_there(path):
        raise ArtifactError(f"{path}: is missing from the artifact; {AGAIN}")
    for place in (path, *path.parents):
        if place == folder:
            return
        if os.path.islink(place):
            raise ArtifactError(f"{place}: is a link; put the file itself there, or compile the model again")


def _check_sum(path: Path) -> None:
    """Compare the manifest or the report with its line among the checksums."""
    sums = path.with_name(CHECKSUM)
    for one in (path, sums):
        _check_there(one, path.parent)
    with readable(path, ArtifactError):
        line, lines = _checksum_line(path).encode(), sums.read_bytes().splitlines(keepends=True)
    if line not in lines:
        raise ArtifactError(f"{path}: is damaged (its checksum differs from {CHECKSUM}); {AGAIN}")


def _read_json(path: Path) -> Any:
    with readable(path, ArtifactError):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: is damaged ({error}); {AGAIN}") from error


def _decoded(kind: type[Kind], data: object, path: Path) -> Kind:
    try:
        return from_plain(kind, data)
    except ValueError as error:
        raise ArtifactError(f"{path}: is damaged ({error}); {AGAIN}") from error
