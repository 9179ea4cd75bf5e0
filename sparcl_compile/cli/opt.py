"""sparcl-opt."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.interface.errors import FieldError, OptionError
from sparcl_compile.interface.version import __version__

if TYPE_CHECKING:
    import onnx_ir as ir

    from sparcl_compile.passes.core.contract import Pass

SUFFIX = ".onnx"
LIBRARY = "library"
"""The field of a pass that takes the library of sparse kernels."""


def _print_list(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    silence_libraries()
    from sparcl_compile.cli.inspecting import write_text
    from sparcl_compile.cli.pass_list import pass_list

    write_text(pass_list())
    ctx.exit()


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-p",
    "--passes",
    default="",
    metavar="PASS,PASS{OPTION=VALUE,...}",
    help="What to run, in this order; the fields of a pass are its options.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The .onnx file to write; without it the graph is printed."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_list,
    help="List the phases, their passes and the options with their defaults.",
)
@click.version_option(__version__)
def opt_command(model: Path, passes: str, output: Path | None) -> None:
    """Run single passes on an ONNX model, on what an earlier call wrote, or on a dump of sparcl-compile."""
    silence_libraries()
    from sparcl_compile.cli.inspecting import write_text
    from sparcl_compile.compiling.graph_file import read_graph, write_graph
    from sparcl_compile.compiling.trace import graph_text
    from sparcl_compile.passes.registry import passes_from

    wanted = passes_from(passes) if passes else []
    if output:
        _check_place(model, output)
    graph = read_graph(model)
    for one in wanted:
        _run(_with_library(one), graph)
    if output:
        write_graph(graph, output)
        return
    write_text(graph_text(graph))


def _check_place(model: Path, output: Path) -> None:
    from sparcl_compile.interface.artifact import check_outside
    from sparcl_compile.interface.files import check_name, check_writable

    check_name(output, SUFFIX, "output")
    if os.path.realpath(output) == os.path.realpath(model):
        raise OptionError(f"-o {output}: is the model itself; name another file")
    check_outside(None, output, "output")
    check_writable(output)


def _with_library(one: "Pass") -> "Pass":
    """The pass; where it takes a library of kernels and was given none, with the installed one."""
    from sparcl_compile.compiling.kernel_library import installed

    if getattr(one, LIBRARY, "") is not None:
        return one
    return dataclasses.replace(one, **{LIBRARY: installed()})


def _run(one: "Pass", graph: "ir.Model") -> None:
    from sparcl_compile.compiling.verify import run_pass

    try:
        run_pass(one, graph)
    except FieldError as error:
        # A field of a pass is written here as it is called.
        raise OptionError(str(error).replace("`", "")) from error
