"""The artifacts of the comparison: a form of the weights, a replay method and a way to its batches in each."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.settings.options import CompileOptions

MODEL = "models/digits_cnn.onnx"
RUN: Mapping[str, Any] = {
    "data": "digits",
    "tasks": 5,
    "epochs": 4,
    "batch_size": 32,
    "buffer_size": 200,
    "seed": 7,
    "class_order_seed": 5,
    "threads": 1,
}
"""The run of every form: 180 steps of Split-Digits, its classes in another order."""
STEPS = 50
"""Steps that are compared call by call."""


@dataclasses.dataclass(frozen=True)
class Form:
    """The compile options of an artifact, and what its run has beside ``RUN``."""

    options: CompileOptions
    run: Mapping[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """The options of the run."""
        return {**RUN, **self.run}


# Rates far below the artifacts' own. At those, a gate of a ReLU next to 0 that opens in one runtime and not in another
# moves the losses by more than 1e-3 within the 50 steps, and what follows compares chance.
# Gradient masks only where a layer has enough gradients that are not 0. The classifier's gradients of classes not seen
# yet are 0, and 1e-39 with ONNX Runtime's own builder: if some of them have to be chosen, the two targets choose other
# ones, each rightly.
FORMS: Mapping[str, Form] = {
    # With the others' seed the masks part by a weight at step 36 from ONNX Runtime 1.29 on.
    "masked": Form(
        CompileOptions(sparsity=0.8, method="der++", replay_batches="separate"), {"learning_rate": 0.02, "seed": 9}
    ),
    "masked-er": Form(
        CompileOptions(sparsity=0.8, gradient_sparsity=0.97, method="er", replay_batches="separate", momentum=0.9),
        # With the others' seed a gate flips at step 42, in WASM and with ONNX Runtime's own builder.
        {"learning_rate": 0.004, "augment": "crop_flip", "seed": 8},
    ),
    "folded": Form(
        CompileOptions(scheme="channel", sparsity=0.5, gradient_sparsity=0.0, method="er", replay_batches="merged"),
        {"learning_rate": 0.02},
    ),
    "compressed": Form(
        CompileOptions(sparsity=0.9, compress=True, select_kernels=False, method="der++", replay_batches="merged"),
        {"learning_rate": 0.01},
    ),
}


def artifact(form: str, target: str, folder: Path) -> Path:
    """The artifact of a form, compiled into ``folder``."""
    made = folder / f"{form}-{target}.sparcl"
    compile_model(Path(MODEL), made, dataclasses.replace(FORMS[form].options, target=target))
    return made
