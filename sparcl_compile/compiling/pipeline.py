"""The pipelines: one list of passes a target, run with one callback that serves printing, timing and dumping."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sparcl_compile.compiling import kernel_library as kernels
from sparcl_compile.compiling.verify import verify
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.lowering.select_kernels import Measure
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.plan import plan_sparsity
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets.inference import export_passes
from sparcl_compile.targets.ort_training import emitting_passes, forward_passes, lowering_passes, ort_training_passes

AfterPass = Callable[[Pass, ir.Model, bool], None]
"""Called after each pass with the pass, the model and whether it was modified; before the first one with no pass."""


def run(model: ir.Model, options: CompileOptions, folder: Path, after: AfterPass) -> Compiled:
    """Run the ``ort-training`` pipeline on a model in place.

    Args:
        model: the loaded model.
        options: what to compile it to.
        folder: where ``emit`` writes; must exist.
        after: called after every pass.

    Raises:
        SparclError: a user's mistake that a pass found.
        ModelError: the graph is invalid after a pass, which names the pass.
    """
    library = kernels.library() if options.compress else None
    _run(model, forward_passes(options), after)
    full = model.clone()
    plan = plan_sparsity(full, options)
    measure = _measure(library) if options.measure_kernels and library else None
    _run(model, lowering_passes(options, plan, measure), after)
    forward = model.clone()
    _run(model, ort_training_passes(options, plan, library), after)
    _run(model, emitting_passes(options, forward, full, model, folder), after)
    return Compiled(forward, model, full, plan)


def _measure(library: Path) -> Measure:
    # The sessions of the runtime are loaded only where something is timed.
    from sparcl_compile.costs.kernel_times import KernelTimes

    return KernelTimes(library)


def _run(model: ir.Model, passes: Sequence[Pass], after: AfterPass) -> None:
    for one in passes:
        modified = one(model).modified
        if modified:
            verify(model, one)
        after(one, model, modified)


def export(model: ir.Model, state: Mapping[str, np.ndarray], after: AfterPass) -> None:
    """Run the export pipeline on an evaluation graph in place; raises ModelError as ``run``."""
    _run(model, export_passes(state), after)
