"""The parts of a program that are a method's own, from its row in the table of methods."""

from collections.abc import Sequence

from sparcl_compile.graphs.recorded import SAMPLE_OUTPUTS
from sparcl_compile.program.consolidating import consolidating_parts, projecting_parts
from sparcl_compile.program.exemplars import exemplar_parts
from sparcl_compile.program.packing import packing_parts
from sparcl_compile.program.parts import Parts
from sparcl_compile.program.remembering import old_targets, recorded, seen_classes, written_at_the_end
from sparcl_compile.settings.methods import Method


def parts_of(
    method: Method, parameters: Sequence[str], momenta: Sequence[str], rate: str, statistics: Sequence[str] = ()
) -> Parts:
    """Return what the method adds to the blocks of every program.

    Args:
        method: a row of the table of methods.
        parameters: the names of those that train.
        momenta: the names of the optimizer's states.
        rate: the name of a step's learning rate.
        statistics: the names of the running statistics.
    """
    if method.penalty:
        return consolidating_parts(parameters, rate)
    if method.packs:
        return packing_parts(momenta, statistics)
    if method.projects:
        return projecting_parts()
    if method.recalls:
        return Parts(begin_task=recorded(SAMPLE_OUTPUTS), current=old_targets(method.recalls), end_task=seen_classes())
    if method.fills == "exemplars":
        return exemplar_parts(method.replay.batches[0].distill)
    if method.fills == "end":
        return Parts(end_task=written_at_the_end())
    return Parts()
