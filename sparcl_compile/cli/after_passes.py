"""Behind which passes sparcl-compile shows or writes the graph."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import click

from sparcl_compile.settings.methods import settled
from sparcl_compile.settings.options import CompileOptions

if TYPE_CHECKING:
    from sparcl_compile.interface.report import PassTrace

ALL = "all"
"""Stands for every pass."""


def asked_for(wanted: str, options: CompileOptions, option: str) -> Collection[str]:
    """Return the passes of a compilation that a pass, a phase (its last pass) or ``all`` stands for.

    Whether batches of replay are merged is known when the model is read. Merged ones have all passes of separate ones,
    so that a phase may stand for two: its last one with merged batches, and that with separate ones.

    Args:
        wanted: as the user gave it.
        options: of the compilation.
        option: that the user gave it with, for the message.

    Raises:
        OptionError: there is no such pass.
    """
    # What looks for a pass needs the compiler's passes, which --help does not.
    from sparcl_compile.cli.inspecting import known_pass
    from sparcl_compile.passes.registry import PHASES
    from sparcl_compile.targets.choice import steps
    from sparcl_compile.targets.steps import pass_names

    merged, separate = (pass_names(steps(settled(options, shares_statistics=shares))) for shares in (True, False))
    if wanted == ALL:
        return merged
    found = known_pass(wanted, merged, option)
    if wanted in merged:
        return (found,)
    # A phase may end with another pass where batches are separate, or have none.
    return {found, *[name for name in separate if PHASES.get(name) == PHASES[found]][-1:]}


def say_what_did_not_run(asked: str, passes: Collection[str], log: "Iterable[PassTrace]") -> None:
    """Say where none of the passes that a name stands for was one of this model's."""
    if passes and not {trace.name for trace in log}.intersection(passes):
        missing = " and ".join(sorted(passes))
        click.echo(f"note: {asked}: {missing} did not run, batches of replay are separate here", err=True)


def printer(wanted: Collection[str]) -> Callable[[Any, Any], None]:
    """Return what prints the graph behind these passes."""
    from sparcl_compile.compiling.trace import graph_text

    def show(trace: Any, model: Any) -> None:
        if trace.name in wanted:
            click.echo(f"# after {trace.name}", err=True)
            click.echo(graph_text(model), err=True)

    return show
