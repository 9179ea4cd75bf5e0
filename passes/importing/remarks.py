"""Remarks of the import about a model that it takes: lines for the report, kept in the model's metadata."""

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.marks import REMARKS_KEY
from sparcl_compile.passes.importing.outputs import SHARED_SIGMOID, SIGMOID, Head


def note(model: ir.Model, *lines: str) -> None:
    """Add lines to a model."""
    text = "\n".join((*remarks_of(model), *lines))
    if text:
        model.metadata_props[REMARKS_KEY] = text


def remarks_of(model: ir.Model) -> tuple[str, ...]:
    """The lines of a model."""
    return tuple(model.metadata_props.get(REMARKS_KEY, "").splitlines())


def of_head(head: Head, outputs: Sequence[str], classes: int | None) -> Iterator[str]:
    """Lines about the output that was chosen, of those that the model has."""
    others = [name for name in outputs if name != head.output]
    if others:
        yield f"the classes are those of output {head.output}; --logits chooses another ({', '.join(others)})"
    if head.activation in (SIGMOID, SHARED_SIGMOID):
        yield (
            f"output {head.output} ends in {head.width} sigmoids: it learns one class a sample (softmax); scores of "
            "several labels at once are not learned"
        )
    if head.doubt is not None:
        yield head.doubt
    if head.binary and classes in (None, 2):
        yield f"output {head.output} has one logit z for two classes: it became the logits 0 and z"
