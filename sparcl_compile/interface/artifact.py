"""Reading an artifact folder: manifest, checksums, version. A leaf module, shared by the compiler and the runtime."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from sparcl_compile.interface.errors import ArtifactError, OptionError
from sparcl_compile.interface.files import sha256

FORMAT = "sparcl-artifact"
VERSION = 1
MANIFEST = "manifest.json"
MASKED = "masked"
"""How the manifest says that a weight is stored in its full shape."""
CLOCKED = ("passes", "kernels")
"""Entries of the manifest that hold times."""
CHECKSUM = "manifest.sha256"
"""The manifest's own checksum, as ``sha256sum --check`` reads it."""


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A checked artifact: its folder and its manifest (docs/interfaces.md)."""

    folder: Path
    manifest: dict[str, Any]

    def path(self, graph: str) -> Path:
        """The file of one graph."""
        return self.folder / str(self.manifest["graphs"][graph]["file"])

    @property
    def identity(self) -> str:
        """A checksum over the manifest, which holds those of all files; what a compilation's clock said is left out."""
        content = {key: value for key, value in self.manifest.items() if key not in CLOCKED}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write the manifest, and the checksums of the files below ``folder`` into it; OSError is left to the caller."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content["files"] = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    path = folder / MANIFEST
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / CHECKSUM).write_text(_checksum_line(path), encoding="utf-8")


def _checksum_line(path: Path) -> str:
    return f"{sha256(path)}  {path.name}\n"


def is_artifact(folder: Path) -> bool:
    """Whether a folder holds an artifact, be it damaged: other programs write a manifest.json, too."""
    try:
        return FORMAT in (folder / MANIFEST).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return (folder / CHECKSUM).is_file()


def check_outside(folder: Path | None, path: Path, option: str) -> None:
    """Refuse to write into this artifact or another one, which would damage it; raises OptionError."""
    place = path.resolve()
    inside = folder is not None and place.is_relative_to(folder.resolve())
    if inside or any(is_artifact(one) for one in (place, *place.parents)):
        raise OptionError(f"{option} {path}: is a compiled artifact or inside of one; name another place")


def load(folder: Path) -> Artifact:
    """Read and check an artifact.

    Raises:
        ArtifactError: not an artifact, of another version, or a file is missing or changed; the message names the file.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: is missing from the artifact; compile the model again")
        if sha256(path) != expected:
            raise ArtifactError(
                f"{path}: is damaged (its checksum differs from the manifest's); compile the model again"
            )
    return Artifact(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact folder, its format and version checked; raises ArtifactError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(
            f"{folder}: is not a compiled artifact (no {MANIFEST}); make one with sparcl-compile MODEL.onnx"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{path}: is damaged ({error}); compile the model again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path}: is not a {FORMAT} manifest; compile the model with sparcl-compile")
    version = manifest.get("version")
    if version != VERSION:
        mend = (
            "install a newer sparcl-compile" if isinstance(version, int) and version > VERSION else "compile it again"
        )
        raise ArtifactError(f"{path}: has artifact version {version}, this program reads version {VERSION}; {mend}")
    checksum = folder / CHECKSUM
    if not checksum.is_file():
        raise ArtifactError(f"{checksum}: is missing from the artifact; compile the model again")
    if checksum.read_bytes() != _checksum_line(path).encode():
        raise ArtifactError(f"{path}: is damaged (its checksum differs from {CHECKSUM}); compile the model again")
    return manifest
