"""W becomes W * M at every maskable weight."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role, mask_name
from sparcl_compile.passes.analysis.channels.plan import set_plan
from sparcl_compile.passes.analysis.rows import output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.draws import Generator, generator
from sparcl_compile.passes.core.edit import lengths_from
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.layers import layer_weights, masked_layers, weighted_layers
from sparcl_compile.passes.core.marks import AXES_KEY, DENSE_KEY, DENSITY_KEY, LAYER_KEY, NORM_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import constant, data_of, dims
from sparcl_compile.passes.schemes.axes import axes_of, by_output
from sparcl_compile.passes.schemes.cuts import Cut, cut_for, unstructured
from sparcl_compile.passes.schemes.density import check_kept, densities, least
from sparcl_compile.passes.sparsifying.channel_masks import clear_pruned, flags_of, outer_mask, plan_channels

RANDOM, ALL = "random", "all"


def magnitude_mask(weight: np.ndarray, kept: int, cut: Cut | None = None) -> np.ndarray:
    """A 0/1 mask (float32, the weight's shape) of the ``kept`` largest magnitudes; ties go to the lower flat index.

    With a ``cut`` the groups of largest magnitude are kept, as docs/algorithm.md says for its scheme.
    """
    chosen = (cut or unstructured(weight.shape)).first(np.abs(weight.reshape(-1)), kept)
    return chosen.astype(np.float32).reshape(weight.shape)


def channel_norm(data: np.ndarray, mask: np.ndarray) -> float:
    """The norm of the output channels that keep any weight, without the mask; both are [output channels, weights].

    To 12 digits: the order of a sum is the processor's, and its last digit would make another artifact on arm64.
    """
    return float(f"{np.linalg.norm(data[mask.any(axis=1)].astype(np.float64)):.12g}")


@dataclasses.dataclass(frozen=True)
class InsertWeightMasks(Pass):
    """Multiply every maskable weight by its mask.

    1. Maskable are the weights of Conv, Gemm and MatMul without a reason to stay dense; each is given its layer index,
       the order of its first node, which the manifest and the growth hash use, and under a scheme with groups what
       its axes stand for in that node.
    2. Each gets an initializer ``W.mask`` of its shape, 0/1 in float32: the product must be differentiable in one type.
    3. All uses of W read ``W.masked = W * W.mask`` instead, also when several nodes share W: one mask a weight.
    4. The first mask keeps the groups of the largest magnitudes (docs/algorithm.md, Masks), and the pruned weights
       become 0, so that the stored weight always equals the masked one and a weight that grows back starts at 0. The
       norm that the channels had before is noted for ``scale_by_density``.
       With ``first`` random, a random number a weight stands for its magnitude. With ``first`` all, the masks are
       whole, the share that each weight will keep is only checked and noted, and a run prunes.
    5. With sparsity 0 no mask is inserted: a product with ones would cost a walk over the weights and mean nothing.
    6. Weights that have their layer index are left alone, which makes the pass idempotent.
    7. Scheme ``channel`` masks every weight that loses rows or columns with a channel, and those alone. A mask is the
       outer product of the kept units' flags along its axes; biases, scales and shifts of removed units become 0. The
       graph then carries its ``ChannelPlan`` (docs/algorithm.md, Channels).

    Options:
        sparsity: share of the maskable weights that is zero, in [0, 1).
        distribution: ``uniform`` or ``erk``.
        scheme: what is removed and grown together.
        first: weights of the first masks: the ``magnitude`` decides, a ``random`` number, or ``all``.
        seed: of the random numbers.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD,)
    before = (LOSS,)
    gives = (NUMBERED,)

    sparsity: float = 0.8
    distribution: str = "uniform"
    scheme: str = "unstructured"
    first: str = "magnitude"
    seed: int = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert the masks.

        Raises:
            FieldError: a sparsity or distribution that cannot be, or that leaves a layer too few weights.
        """
        if self.scheme == "channel" and 0.0 < self.sparsity < 1.0:
            return self._channels(model)
        weights = {str(w.name): w for w in layer_weights(model) if DENSE_KEY not in w.metadata_props}
        share = densities({name: dims(weight) for name, weight in weights.items()}, self.sparsity, self.distribution)
        if masked_layers(model):
            return ir.passes.PassResult(model, False)
        first = {str(weight.name): node for node, weight in reversed(list(weighted_layers(model.graph)))}
        meaning = {name: axes_of(first[name], weight) for name, weight in weights.items()}
        for index, (name, weight) in enumerate(weights.items()):
            weight.metadata_props[LAYER_KEY] = str(index)
            if self.scheme != "unstructured":
                weight.metadata_props[AXES_KEY] = meaning[name]
        if self.sparsity > 0.0:
            draws = generator(self.seed)
            masks = {name: self._first_mask(weight, share[name], draws) for name, weight in weights.items()}
            self._check(model.graph, masks, meaning)
            if self.first == ALL:
                masks = {name: self._whole(weights[name], mask) for name, mask in masks.items()}
            axes, places = output_axes(model.graph), {node: place for place, node in enumerate(model.graph)}
            for name, weight in weights.items():
                self._insert(model.graph, places, weight, masks[name], axes[name])
        return ir.passes.PassResult(model, bool(weights))

    def _check(self, graph: ir.Graph, masks: Mapping[str, np.ndarray], meaning: Mapping[str, str]) -> None:
        classes = next(iter(lengths_from(graph.outputs[0], 1) or ()), 1)
        needed = {name: least(mask.shape, meaning[name], classes) for name, mask in masks.items()}
        kept = {name: int(mask.sum()) for name, mask in masks.items()}
        check_kept(kept, needed, {name: mask.shape for name, mask in masks.items()}, self.sparsity)

    def _channels(self, model: ir.Model) -> ir.passes.PassResult:
        if masked_layers(model):
            return ir.passes.PassResult(model, False)
        plan = plan_channels(model, 1.0 - self.sparsity, self.distribution)
        axes, flags, places = (
            output_axes(model.graph),
            flags_of(plan),
            {node: place for place, node in enumerate(model.graph)},
        )
        for index, name in enumerate(plan.weights):
            weight = model.graph.initializers[name]
            weight.metadata_props[LAYER_KEY] = str(index)
            self._insert(
                model.graph, places, weight, outer_mask(plan.shapes[name], plan.channels.axes[name], flags), axes[name]
            )
        clear_pruned(model, plan)
        set_plan(model, plan)
        return ir.passes.PassResult(model, True)

    @staticmethod
    def _whole(weight: ir.Value, later: np.ndarray) -> np.ndarray:
        weight.metadata_props[DENSITY_KEY] = repr(float(later.mean()))
        return np.ones_like(later)

    def _first_mask(self, weight: ir.Value, density: float, draws: Generator) -> np.ndarray:
        data = data_of(weight)
        # From above 0: a weight that is drawn is kept whatever its value.
        data = 1.0 - draws.random(data.shape, dtype=np.float32) if self.first == RANDOM else data
        cut = cut_for(self.scheme, data.shape, weight.metadata_props.get(AXES_KEY, ""))
        return magnitude_mask(data, cut.levels(density, 0.0, 0.0).base, cut)

    def _insert(
        self, graph: ir.Graph, places: Mapping[ir.Node, int], weight: ir.Value, mask: np.ndarray, axis: int
    ) -> None:
        name, data = str(weight.name), data_of(weight)
        weight.metadata_props[NORM_KEY] = repr(channel_norm(by_output(data, axis), by_output(mask, axis)))
        weight.const_value = ir.tensor(data * mask, name=name)
        mask_value = set_role(constant(graph, mask_name(name), mask), Role.MASK)
        uses = list(weight.uses())
        insert = self.inserter(graph).before(min((use.node for use in uses), key=places.__getitem__))
        masked = f"{name}.masked"
        product = insert.op("Mul", weight, mask_value, name=masked, like=weight, node_name=f"{name}.mask_weight")
        for use in uses:
            use.node.replace_input_with(use.idx, product)
