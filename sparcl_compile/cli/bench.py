"""sparcl-bench."""

from pathlib import Path

import click

from sparcl_compile.cli.command import Command
from sparcl_compile.cli.common import silence_libraries
from sparcl_compile.cli.loudness import progress_lines
from sparcl_compile.interface.cores import usable_cores
from sparcl_compile.interface.version import __version__

TABLE = "summary.md"


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("grid", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the results.  [default: GRID.bench]")
@click.option("--cores", type=int, help="Cores that the runs take together.  [default: the process's]")
@click.option("--threads", type=int, default=1, help="Threads of each run.")
@click.option("--dask", metavar="ADDRESS", help="Learn on the workers of this Dask scheduler.")
@click.option("--so-far", is_flag=True, help="Learn nothing: print the table of the runs that are there.")
@click.option(
    "--plots", is_flag=True, help="Draw accuracy against FLOPs, seconds and tasks, sparsity and churn by layer."
)
@click.version_option(__version__)
def bench_command(
    grid: Path, output: Path | None, cores: int | None, threads: int, dask: str | None, so_far: bool, plots: bool
) -> None:
    """Learn a grid of runs from a TOML file, or what is left of it, and print its table."""
    silence_libraries()
    from sparcl_compile.api.places import beside
    from sparcl_compile.bench.bench import Place, grid_so_far, learn_grid
    from sparcl_compile.bench.plots import check_installed, draw
    from sparcl_compile.bench.reading import read_grid
    from sparcl_compile.bench.summary import summary
    from sparcl_compile.interface.errors import FieldError
    from sparcl_compile.interface.files import write_text

    place = Place(usable_cores() if cores is None else cores, threads, dask)
    if so_far and dask:
        raise FieldError("dask", dask, "has nothing to learn beside --so-far", "leave one of the two out")
    if plots:
        check_installed()
    wanted, folder = read_grid(grid), output or beside(grid, ".toml", ".bench")
    click.get_current_context().obj = "interrupted; what is finished is kept, and the same command goes on from there"
    tell = progress_lines()
    lines = grid_so_far(wanted, folder, tell) if so_far else learn_grid(wanted, folder, place, tell)
    text = summary(lines)
    write_text(folder / TABLE, text)
    if plots:
        draw(lines, folder)
    click.echo(text, nl=False)
