"""Speed of the sparse step against dense PyTorch's by batch size and number of threads.

    python -m benchmarks.batches [NAME ...] [--threads 1 --threads 2] [--batch 8 --batch 32] [--clock processor]
    python -m benchmarks.batches [NAME ...] --threads 1 --batch 32 --copies 2

Every contestant of benchmarks.step named here runs in a process of its own, and all of a number of threads take turns:
a row is the median of several steps, its ratio that of PyTorch's dense step of the same batch and threads. The last
column is the share of the ratio at the largest batch that a smaller one keeps. With --core all of it runs on one core,
whatever the threads: what is lost where there are more threads than cores. With --copies every step is taken by so many
processes at once, each on a core of its own: a machine with a share of this one's bandwidth. On a busy machine the
processor's clock disturbs less; of more threads than one it also counts their spinning (OMP_WAIT_POLICY=passive in the
environment stops PyTorch's), and --fastest by the wall's clock is what is left.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.processes import AtOnce, Turns, in_turns

DENSE = "pytorch-dense"
CLOCKS = ("wall", "processor")

Key = tuple[str, int]
"""A contestant and a batch size."""


def taken(keys: Sequence[Key], threads: int, rounds: int, folder: Path, copies: int = 1) -> dict[Key, np.ndarray]:
    """Wall-clock and processor seconds [round, clock] of the steps of each contestant and batch."""
    cores = sorted(os.sched_getaffinity(0))[:copies] if copies > 1 else [""]
    with contextlib.ExitStack() as stack:
        steps = []
        for key in keys:
            made = (Turns(sys.executable, "benchmarks.stepper", *key, threads, folder, core) for core in cores)
            steps.append(AtOnce([stack.enter_context(contextlib.closing(one)) for one in made]))
        seconds = in_turns(steps, rounds)
    return dict(zip(keys, seconds, strict=True))


def lines(seconds: dict[Key, float], names: Sequence[str], batches: Sequence[int], threads: int) -> list[str]:
    """One line for each contestant and batch, with the ratio of its dense step and its share of the largest batch's."""
    made = []
    for name in names:
        ratios = {batch: seconds[DENSE, batch] / seconds[name, batch] for batch in batches}
        for batch in batches:
            share = ratios[batch] / ratios[max(batches)]
            took = 1e3 * seconds[name, batch]
            made.append(f"{threads:>7} {batch:>6} {name:>26} {took:>9.1f} {ratios[batch]:>7.2f} {share:>6.0%}")
    return made


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--threads", multiple=True, default=(1, 2, 4, 8), show_default=True)
@click.option("--batch", "batches", multiple=True, default=(1, 8, 32, 128), show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Timed steps of each contestant.")
@click.option("--clock", type=click.Choice(CLOCKS), default="processor", show_default=True)
@click.option("--core", is_flag=True, help="Run everything on one core.")
@click.option("--copies", default=1, show_default=True, help="Take each step so many times at once, on as many cores.")
@click.option("--fastest", is_flag=True, help="Take the fastest step in place of the median.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/bench/batches"), show_default=True)
def main(
    names: tuple[str, ...],
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    rounds: int,
    clock: str,
    core: bool,
    copies: int,
    fastest: bool,
    folder: Path,
) -> None:
    """Print one line for each number of threads, batch size and contestant."""
    folder.mkdir(parents=True, exist_ok=True)
    if copies > len(os.sched_getaffinity(0)):
        raise click.UsageError(f"--copies {copies}: there are {len(os.sched_getaffinity(0))} cores; give no more")
    names = names or ("compressed-0.75", "compressed-0.90", "compressed-0.95")
    if core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    click.echo(f"{'threads':>7} {'batch':>6} {'contestant':>26} {'ms':>9} {'ratio':>7} {'kept':>6}")
    for count in threads:
        keys = [(name, batch) for batch in batches for name in (DENSE, *names)]
        found = taken(keys, count, rounds, folder, copies)
        typical = np.min if fastest else np.median
        seconds = {key: float(typical(both[:, CLOCKS.index(clock)])) for key, both in found.items()}
        click.echo("\n".join(lines(seconds, (DENSE, *names), batches, count)))


if __name__ == "__main__":
    main()
