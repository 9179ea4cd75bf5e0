"""Learning inside an app, on a machine that has the compiler."""

from pathlib import Path
from typing import Any

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.learner import learner


class Learner(learner.Learner):
    """An artifact that goes on learning inside of an app; ``Learner.open`` makes one (docs/learner.md)."""

    def export(self, output: str | Path, *, batch: int | None = None, ort_format: bool = False) -> dict[str, Any]:
        """Save, and write the learned model as plain ONNX for inference, as ``export_model`` does.

        That is the network with its logits. Under iCaRL, whose answers here are those of the nearest mean of exemplars,
        it answers otherwise than ``predict``.

        Args:
            output: the .onnx file.
            batch: a fixed batch size; any without it.
            ort_format: also write it in ONNX Runtime's own format.

        Returns:
            The facts that ``sparcl-export --json`` prints.

        Raises:
            DataError: nothing is learned yet.
            ModelError: the exported model would answer differently; nothing was written.
            FieldError: the file cannot lie there.
        """
        # A device that only learns has no onnx installed.
        from sparcl_compile.api.exporting import export_model

        self.save()
        if not self.tasks and not self.under_way:
            raise DataError(f"{self.state}: nothing is learned yet; call `learn` first")
        return export_model(self.artifact, output, self.state, batch=batch, ort_format=ort_format)
