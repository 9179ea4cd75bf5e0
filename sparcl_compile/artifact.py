"""Reading an artifact folder: manifest, checksums, version. A leaf module, shared by the compiler and the runtime."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from sparcl_compile.errors import ArtifactError
from sparcl_compile.files import sha256

FORMAT = "sparcl-artifact"
VERSION = 1
MANIFEST = "manifest.json"


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
        """A checksum over all files: two artifacts are the same when theirs are."""
        return sha256(self.folder / MANIFEST)


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
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: is damaged ({error}); compile the model again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path}: is not a {FORMAT} manifest; compile the model with sparcl-compile")
    version = manifest.get("version")
    if version != VERSION:
        mend = (
            "install a newer sparcl-compile" if isinstance(version, int) and version > VERSION else "compile it again"
        )
        raise ArtifactError(f"{path}: has artifact version {version}, this program reads version {VERSION}; {mend}")
    missing = [key for key in ("files", "graphs", "state", "schedule", "model") if key not in manifest]
    if missing:
        raise ArtifactError(f"{path}: is damaged (no {', '.join(missing)}); compile the model again")
    return manifest
