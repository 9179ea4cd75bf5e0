"""Refuses what was asked of masks where no weight of a model has one."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.core.layers import layer_weights
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import RANDOM, TDM, policy_of

SHOWN = 3
"""Weights in a message."""


def check_masks_nothing(masked: ir.Model, options: CompileOptions) -> None:
    """Raise FieldError where an option acts on masks alone; the defaults may find nothing to do.

    Args:
        masked: a forward graph of which no weight is masked.
        options: what was asked for.
    """
    for field, value, asked in _asked(options):
        if asked:
            problem = f"acts on masked weights, and none is ({_reasons(masked)})"
            raise FieldError(field, value, problem, "leave it out, or train and mask more of the model")


def _asked(options: CompileOptions) -> Sequence[tuple[str, object, bool]]:
    """Field, value, and whether it was asked for."""
    return (
        ("mask_policy", options.mask_policy, policy_of(options).name != TDM),
        ("growth", options.growth, options.growth is not None),
        ("first_mask", options.first_mask, options.first_mask == RANDOM),
        ("compress", None, options.compress),
    )


def _reasons(masked: ir.Model) -> str:
    found = [f"{weight.name}: {weight.metadata_props[DENSE_KEY]}" for weight in layer_weights(masked)]
    return ", ".join(found[:SHOWN]) + ", ..." * (len(found) > SHOWN)
