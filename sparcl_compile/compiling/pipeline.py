"""The pipelines: a target's phases one after another, with one callback that serves printing, timing and dumping."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sparcl_compile.compiling import kernel_library as kernels
from sparcl_compile.compiling.verify import run_pass
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.lowering.select_kernels import Measure
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import inference, ort_training
from sparcl_compile.targets.steps import Product, in_order

AfterPass = Callable[[Pass, ir.Model, bool], None]
"""Called after each pass with the pass, the model and whether it was modified."""


def run(model: ir.Model, options: CompileOptions, folder: Path, after: AfterPass) -> Compiled:
    """Run the phases of ``ort-training`` on a model in place.

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
    measure = _measure(library) if options.measure_kernels and library else None
    work = ort_training.Work(options, folder, library, measure)
    for step in in_order(ort_training.steps(options)):
        if isinstance(step, Product):
            work.products[step] = model.clone()
        else:
            _run(ort_training.make(step, work), model, after)
    return Compiled(work.products[Product.FORWARD], model, work.products[Product.MASKED])


def _measure(library: Path) -> Measure:
    # The sessions of the runtime are loaded only where something is timed.
    from sparcl_compile.costs.kernel_times import KernelTimes

    return KernelTimes(library)


def _run(one: Pass, model: ir.Model, after: AfterPass) -> None:
    after(one, model, run_pass(one, model))


def export(model: ir.Model, state: Mapping[str, np.ndarray], after: AfterPass) -> None:
    """Run the export pipeline on an evaluation graph in place; raises ModelError as ``run``."""
    for step in in_order(inference.STEPS):
        if not isinstance(step, Product):
            _run(inference.make(step, state), model, after)
