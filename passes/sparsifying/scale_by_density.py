"""Weights and learning rates that suit the density of a masked layer."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role, mask_name
from sparcl_compile.passes.analysis.rows import output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import DENSITY_KEY, NORM_KEY, RATE_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.schemes.axes import by_output


@dataclasses.dataclass(frozen=True)
class ScaleByDensity(Pass):
    """Let a masked layer start with the activations, and take the steps, of the layer without its mask.

    1. An output of a layer sums over its kept weights, the share d of its weights; an output channel without any kept
       weight does not count. Rules 2 and 3 keep the size of that sum, and of its first change, independent of d.
    2. The kept weights are multiplied by one number a layer, so that the output channels have the norm again that they
       had before the mask. For a random mask that is 1/sqrt(d); a mask of the largest magnitudes takes less away.
    3. The learning rate of the weight is multiplied by 1/d. The gradient of a kept weight does not depend on d, given
       rule 2; a step of SGD changes an output by the learning rate times the squared inputs, summed over the kept
       weights, and one of AdamW by the learning rate times the inputs' magnitudes, summed likewise. So the learning
       rate of a dense network is right at every sparsity, in every layer.
    4. Masks move, their counts hardly do: the factor is a constant, which the optimizer's graph multiplies the learning
       rate by.
    5. Layers without a mask, biases, scales and shifts keep weights and rate.
    6. Masks that a run chooses before its first step, from all weights, have their density already for rule 3 where
       ``chosen_first`` says so; rule 2 is then that of the graph that chooses.
    7. A weight that has its factor is left alone, which makes the pass idempotent.

    Source: SμPar's rule for a density multiplier (Dey, Bergsma and Hestness, "Sparse maximal update parameterization",
    NeurIPS 2024, table 1), which is stated there for Adam and random masks; rule 3 is the same sum for SGD.

    Options:
        chosen_first: whether masks that are whole are so until the first step only.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    chosen_first: bool = False

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Scale the weights that have a mask."""
        graph, axes = model.graph, output_axes(model.graph)
        masks = {str(v.name): data_of(v) for v in graph.initializers.values() if role_of(v) is Role.MASK}
        weights = [w for w in masked_layers(model) if RATE_KEY not in w.metadata_props]
        chosen = [weight for weight in weights if mask_name(str(weight.name)) in masks]
        for weight in chosen:
            mask = by_output(masks[mask_name(str(weight.name))], axes[str(weight.name)])
            weight.metadata_props[RATE_KEY] = repr(1.0 / self._density(weight, mask))
            _restore_norm(weight)
        return ir.passes.PassResult(model, bool(chosen))

    def _density(self, weight: ir.Value, mask: np.ndarray) -> float:
        return float(weight.metadata_props[DENSITY_KEY]) if self.chosen_first else density(mask)


def density(mask: np.ndarray) -> float:
    """The share of kept weights in the output channels that keep any.

    Args:
        mask: 0 and 1, [output channels, weights of a channel].
    """
    rows = mask[mask.any(axis=1)]
    return float(rows.mean()) if rows.size else 1.0


def _restore_norm(weight: ir.Value) -> None:
    data, norm = data_of(weight), float(weight.metadata_props[NORM_KEY])
    kept = float(np.linalg.norm(data.astype(np.float64)))
    if kept > 0.0:
        weight.const_value = ir.tensor((data * (norm / kept)).astype(np.float32), name=weight.name)
