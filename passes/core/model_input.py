"""The kind of a model's input: what its file takes, and how samples have to come."""

import dataclasses
import json
from typing import Any

import onnx_ir as ir

from sparcl_compile.passes.core.marks import INPUT_KEY


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """The input of a user's model.

    Attributes:
        type: of its elements in the file, as NumPy calls it.
        raw: whether the model scales its samples itself, so that they are fed as they are.
        rows: how many rows the smallest table has that samples are places in; None where they are no such numbers.
    """

    type: str = "float32"
    raw: bool = False
    rows: int | None = None


def input_of(model: ir.Model) -> ModelInput:
    """The kind of a model's input, as passes of the import have found it."""
    return ModelInput(**json.loads(model.metadata_props.get(INPUT_KEY, "{}")))


def note_input(model: ir.Model, **changes: Any) -> None:
    """Change some of what is known about a model's input."""
    found = dataclasses.replace(input_of(model), **changes)
    model.metadata_props[INPUT_KEY] = json.dumps(dataclasses.asdict(found))
