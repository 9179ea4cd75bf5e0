"""Lines of the compile report about what a compilation does not bring."""

from collections.abc import Sequence

from sparcl_compile.interface.options import Options
from sparcl_compile.interface.specs import MASKED, WeightSpec

CHANNEL = "channel"
MASKS_ONLY = (
    "Masks alone save no time: --compress computes with the kept weights only (sparse kernels), "
    "--scheme channel with the kept channels"
)


def masks_only(weights: Sequence[WeightSpec]) -> bool:
    """Whether weights are masked and dense kernels compute with all of them."""
    lowered = any(layer.stored != MASKED or layer.scheme == CHANNEL for layer in weights)
    return not lowered and any(layer.base < layer.size for layer in weights)


def gradients_line(options: Options) -> str:
    """The note that a wanted gradient sparsity is without effect; empty where it has one."""
    if options.masks_gradients or options.gradient_sparsity == 0.0:
        return ""
    kept = f"{options.sparsity:g}"
    return (
        f"Gradient masks: none, since gradient sparsity {options.gradient_sparsity:g} spares no weight that is kept at "
        f"sparsity {kept}; give more than {kept} to update fewer"
    )
