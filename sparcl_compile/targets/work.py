"""Settings that the passes of a training target are made from, and the functions that make them."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.passes.analysis.normalised import shares_statistics
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.layers import layer_weights, masked_layers
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.halve_activations import HalveActivations
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import DifferentiateByBuilder
from sparcl_compile.passes.emitting.emit import Emit
from sparcl_compile.passes.importing.fix_input import FixInput
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.lowering.compress_weights import CompressWeights
from sparcl_compile.passes.lowering.fold_channels import FoldChannels
from sparcl_compile.passes.lowering.select_kernels import Measure, SelectKernels
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.sparsifying.limit_steps import LimitSteps
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.plan.plan import SparsityPlan, plan_sparsity
from sparcl_compile.settings import methods, policies
from sparcl_compile.settings.methods import batch_samples, method_of, stores_between_batches
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import first_of, grows_by_gradient, policy_of, smooths
from sparcl_compile.targets.choice import EXECUTORS
from sparcl_compile.targets.steps import Product


@dataclasses.dataclass(frozen=True)
class Work:
    """The inputs from which passes are made.

    Attributes:
        options: of the compilation.
        folder: where ``emit`` writes.
        library: the library of sparse kernels; None where nothing is compressed.
        measure: times a layer's kernels; None to use the table of costs.
        products: what has been kept so far.
    """

    options: CompileOptions
    folder: Path
    library: Path | None = None
    measure: Measure | None = None
    products: dict[Product, ir.Model] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def plan(self) -> SparsityPlan:
        """The plan of the model's sparsity, computed once from the masked graph."""
        return plan_sparsity(self.products[Product.MASKED], self.options)


def settled(work: Work, sparsified: ir.Model) -> Work:
    """Return the work with the options that a model settles once it is known what has a mask, and what trains."""
    masked = masked_layers(sparsified)
    alone = len(masked) == 1 and not set(layer_weights(sparsified)) - set(masked)
    options = policies.settled(work.options, classifier_alone=alone)
    options = methods.settled(options, shares_statistics=shares_statistics(sparsified.graph))
    return dataclasses.replace(work, options=options)


def make(one: type[Pass], work: Work) -> Pass:
    """Make a pass of the target."""
    maker = MAKERS.get(one)
    return maker(work, work.options) if maker else one()


MAKERS: Mapping[type[Pass], Callable[[Work, CompileOptions], Pass]] = {
    FixInput: lambda _, o: FixInput(o.input_shape),
    ImportForward: lambda _, o: ImportForward(o.classes, o.init, o.seed, o.logits, o.target),
    MarkDenseWeights: lambda _, o: MarkDenseWeights(o.dense),
    FreezeParameters: lambda _, o: FreezeParameters(freeze=o.freeze, update=o.update),
    InsertWeightMasks: lambda _, o: InsertWeightMasks(o.sparsity, o.distribution, o.scheme, first_of(o), o.seed),
    ScaleByDensity: lambda _, o: ScaleByDensity(o.sparsity > 0.0 and policy_of(o).scores_first),
    LimitSteps: lambda _, o: LimitSteps(o.effective_step_limit * (1.0 - o.momentum)),
    FoldChannels: lambda work, _: FoldChannels(work.plan.capacity),
    SelectKernels: lambda work, o: SelectKernels(
        work.plan.places, work.plan.updated_places, batch_samples(o), work.measure, o.scheme
    ),
    CompressWeights: lambda work, o: CompressWeights(work.plan.places, o.scheme),
    AttachLoss: lambda _, o: AttachLoss(method_of(o).distance),
    InsertSampleFilter: lambda work, _: InsertSampleFilter(score=work.plan.recipe.score),
    Differentiate: lambda _, o: Differentiate(by_rows=o.effective_gradient_sparsity > 0.0, sparing=o.recompute),
    DifferentiateByBuilder: lambda work, _: DifferentiateByBuilder(work.library),
    InsertGradientMasks: lambda _, o: InsertGradientMasks(gradient_sparsity=o.effective_gradient_sparsity),
    AttachOptimizer: lambda _, o: AttachOptimizer(o.optimizer, o.momentum, o.weight_decay),
    HalveActivations: lambda _, o: HalveActivations(backward_only=o.activations == "bf16-backward"),
    OrderBackward: lambda _, o: OrderBackward(
        batch=batch_samples(o), executor=EXECUTORS[o.target], recompute=o.recompute
    ),
    RecomputeActivations: lambda _, o: RecomputeActivations(
        enabled=o.recompute, batch=batch_samples(o), executor=EXECUTORS[o.target]
    ),
    ComputeGradientRows: lambda _, o: ComputeGradientRows(o.effective_gradient_sparsity),
    Emit: lambda work, o: Emit(
        work.folder,
        forward=work.products[Product.FORWARD],
        whole=work.products.get(Product.WHOLE),
        masked=work.products[Product.MASKED] if o.compress else None,
        pruned_gradients=grows_by_gradient(o),
        several=stores_between_batches(o),
        smooth=smooths(o),
        score=method_of(o).penalty > 0.0,
        packed=method_of(o).packs,
        features=method_of(o).fills == "exemplars",
    ),
}
"""Functions that make a pass, by pass; a pass that is missing has no options."""
