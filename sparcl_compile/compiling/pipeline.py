"""The pipelines: a target's phases one after another, with one callback that serves printing, timing and dumping."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sparcl_compile.compiling import kernel_library as kernels
from sparcl_compile.compiling.protos import large_last
from sparcl_compile.compiling.verify import check_graph, check_links, complaint, verify
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.lowering.select_kernels import Measure
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import choice, inference, work
from sparcl_compile.targets.steps import Product, Step, in_order

AfterPass = Callable[[Pass, ir.Model, bool], None]
"""Called after each pass with the pass, the model and whether it was modified."""


def run(
    model: ir.Model, options: CompileOptions, folder: Path, after: AfterPass, check_passes: bool = False
) -> Compiled:
    """Run the phases of a training target on a model in place.

    Args:
        model: the loaded model.
        options: what to compile it to.
        folder: where ``emit`` writes; must exist.
        after: called after every pass.
        check_passes: check the whole graph after every pass, and not only its links.

    Raises:
        SparclError: a user's mistake that a pass found.
        ModelError: the graph is invalid after a pass, which names the pass.
    """
    library = kernels.library() if options.compress else None
    measure = _measure(library) if options.measure_kernels and library else None
    given = work.Work(options, folder, library, measure)
    runner = Runner(model, after, check_passes)
    for phase in choice.steps(options):
        for step in choice.steps(given.options)[phase]:
            _take(step, runner, given)
        runner.end_phase()
        given = work.settled(given, model) if phase is Phase.SPARSIFYING else given
    forward, full = given.products[Product.FORWARD], given.products[Product.MASKED]
    return Compiled(forward, model, full, given.plan, given.options)


def _measure(library: Path) -> Measure:
    # The sessions of the runtime are loaded only where something is timed.
    from sparcl_compile.costs.kernel_times import KernelTimes

    return KernelTimes(library)


class Runner:
    """Runs passes on a model: links are checked after every pass, the whole graph at the end of a phase.

    Args:
        model: the model, changed in place.
        after: called after every pass.
        check_passes: check the whole graph, stated shapes included, after every pass.
    """

    def __init__(self, model: ir.Model, after: AfterPass, check_passes: bool = False) -> None:
        self._model, self._after, self._check_passes = model, after, check_passes
        self._changed_by: Pass | None = None
        self._copy: ir.Model | None = None

    def __call__(self, one: Pass) -> None:
        """Run one pass between its own checks; raises as ``run``."""
        self._copy = None
        modified = one(self._model).modified
        if modified:
            self._changed_by = one
            large_last(self._model.graph)
            check_links(self._model, complaint(one))
        if modified and self._check_passes:
            verify(self._model, one)
        self._after(one, self._model, modified)

    def copy(self) -> ir.Model:
        """The model as it stands, in a copy that no later pass changes; one and the same until a pass runs."""
        if self._copy is None:
            self._copy = self._model.clone()
        return self._copy

    def end_phase(self) -> None:
        """Check the whole graph if a pass has changed it; raises ModelError, which names the last one that did."""
        if self._changed_by is not None and not self._check_passes:
            check_graph(self._model, complaint(self._changed_by))
        self._changed_by = None


def _take(step: Step, runner: Runner, given: work.Work) -> None:
    if isinstance(step, Product):
        given.products[step] = runner.copy()
        return
    runner(work.make(step, given))


def export(model: ir.Model, state: Mapping[str, np.ndarray], after: AfterPass, input_type: str = "float32") -> None:
    """Run the export pipeline on an evaluation graph in place; raises ModelError as ``run``."""
    runner = Runner(model, after)
    for step in in_order(inference.STEPS):
        if not isinstance(step, Product):
            runner(inference.make(step, state, input_type))
    runner.end_phase()
