"""Export of a learned model to ONNX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from sparcl_compile.api.places import export_of, run_of
from sparcl_compile.exporting import export
from sparcl_compile.exporting.export_files import check_place, contents
from sparcl_compile.exporting.facts import facts_of
from sparcl_compile.interface.artifact import Artifact, in_use, read_report
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.files import write_together
from sparcl_compile.runtime import checkpoint as checkpoints


def export_model(
    artifact: Artifact,
    output: str | Path | None = None,
    checkpoint: str | Path | None = None,
    initial: bool = False,
    batch: int | None = None,
    ort_format: bool = False,
) -> dict[str, Any]:
    """Write the learned model as plain ONNX for inference: masks folded, idle channels gone, normalisation fused.

    It is the network with its logits; where a run answers otherwise (iCaRL, PackNet), ``note`` of the facts says so.

    Args:
        artifact: as ``load`` or ``compile_model`` gives it.
        output: the .onnx file; ``ARTIFACT.learned.onnx`` without it.
        checkpoint: folder of the run whose state is exported; ``ARTIFACT.run`` without it.
        initial: export the state before any training.
        batch: a fixed batch size; any without it.
        ort_format: also write the model in ONNX Runtime's own format, and the config of its operators, beside it.

    Returns:
        The facts that ``sparcl-export --json`` prints: files, sizes, how the model was checked.

    Raises:
        ArtifactError: the artifact is being replaced, or was since it was loaded.
        CheckpointError: there is no run, it is damaged, or it is that of another artifact.
        ModelError: the exported model would answer differently; nothing was written.
        FieldError: the file cannot lie there, or ``initial`` contradicts ``checkpoint``.
    """
    if initial and checkpoint is not None:
        raise FieldError("initial", None, f"contradicts `checkpoint` {checkpoint}", "give one of them")
    target = export_of(artifact.folder) if output is None else Path(output)
    check_place(target, artifact)
    folder = run_of(artifact.folder) if checkpoint is None else Path(checkpoint)
    with in_use(artifact):
        state, origin = _initial_state(artifact) if initial else _learned_state(artifact, folder)
        notes = export.notes_of(origin.get("samples"), artifact.manifest.model.layout)
        exported = export.export_model(artifact, state, notes, batch)
        files = contents(exported.content, target, ort_format)
        found = facts_of(artifact.manifest, read_report(artifact.folder), exported, origin, files)
    write_together(files)
    return found


def _initial_state(artifact: Artifact) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    return load_file(artifact.folder / artifact.manifest.state_file), {"state": "initial"}


def _learned_state(artifact: Artifact, folder: Path) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    """The arrays of a run of this artifact, and what is known of it."""
    found = checkpoints.read_run(folder, artifact)
    counters = found.progress["counters"]
    return found.arrays, {
        "state": str(folder),
        "tasks_learned": counters["task"],
        "epochs_of_the_next": counters["epoch"],
        "samples": found.progress.get("samples"),
    }
