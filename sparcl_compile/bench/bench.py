"""Learns a grid: the trials first, then the runs of the table under the rates that they have chosen."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparcl_compile.bench import pool
from sparcl_compile.bench.defaults import changed_defaults, expected, in_words
from sparcl_compile.bench.grid import Cell, Grid
from sparcl_compile.bench.jobs import Job, Jobs
from sparcl_compile.bench.rates import Choice, Trials, choices
from sparcl_compile.bench.results import Outcome, Results
from sparcl_compile.bench.settings import compile_options
from sparcl_compile.interface import locks
from sparcl_compile.interface.artifact import check_outside
from sparcl_compile.interface.errors import FieldError, GridError

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """The machine of the runs: cores here, threads a run, or the address of a Dask scheduler.

    Raises:
        FieldError: a number is below 1, or a run would take more threads than all runs may take cores.
    """

    cores: int
    threads: int
    dask: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, number in (("cores", self.cores), ("threads", self.threads)):
            if number < 1:
                raise FieldError(name, number, mend="give a number from 1")
        if self.threads > self.cores and self.dask is None:
            problem = f"are more than the cores that all runs take together, {self.cores}"
            raise FieldError("threads", self.threads, problem, "give fewer, or more `cores`")


@dataclass(frozen=True)
class Line:
    """A line of the table: its trials by rate, the rate that was taken, and the runs in the order of the seeds.

    Where there was no rate to take every run has failed, and where trials are to come none has ended.
    """

    cell: Cell
    trials: Trials
    rate: float | None
    runs: tuple[Outcome, ...]


def learn_grid(grid: Grid, folder: Path, place: Place, tell: Tell) -> tuple[Line, ...]:
    """Learn what a folder of results lacks of a grid, and return all of it.

    Args:
        grid: the grid.
        folder: the results; what an earlier call has finished is taken from there.
        place: where runs are learned.
        tell: is given a line when a run has ended.

    Raises:
        FieldError: the folder is a compiled artifact or inside of one.
        SparclError: a model cannot be compiled, the data do not fit, or another process learns in the folder; what
            is finished is kept.
    """
    check_outside(None, folder, "output")
    jobs, results = Jobs(grid), Results(folder)
    with locks.writing(folder / locks.FILE, folder, lambda holders: _in_use(folder, holders)):
        tried = [jobs.trials(cell) for cell in grid.cells]
        _learn(_in_turns(_flat(tried)), results, place, tell)
        trials = [{rate: results.read_all(several) for rate, several in one.items()} for one in tried]
        taken = choices(grid.cells, trials)
        _tell_failures(grid.cells, taken, tell)
        finals = _finals(jobs, grid, taken)
        _learn(_in_turns(finals), results, place, tell)
        runs = [results.read_all(several) for several in finals]
        results.tidy()
    return _lines(grid, trials, taken, runs)


def grid_so_far(grid: Grid, folder: Path, tell: Tell) -> tuple[Line, ...]:
    """What a folder of results has of a grid, also while another process learns it; nothing is learned.

    Args:
        grid: the grid.
        folder: the results.
        tell: is given a line that counts the runs.

    Returns:
        The lines; runs that are to come have not ended. A line whose trials are not all there has no rate yet.

    Raises:
        GridError: no run of the grid is there, or the file of one is damaged.
    """
    jobs, results = Jobs(grid), Results(folder)
    tried = [jobs.trials(cell) for cell in grid.cells]
    trials = [{rate: results.look(several) for rate, several in one.items()} for one in tried]
    taken = choices(grid.cells, trials)
    finals = _finals(jobs, grid, taken)
    known = {job.name: job for job in _in_turns([*_flat(tried), *finals])}
    there = [job for job in known.values() if results.has(job.name)]
    if not there:
        raise GridError(f"{folder}: has no run of this grid yet; learn some of it first")
    _tell_changed_defaults(there, results, tell)
    unnamed = sum(choice.open for choice in taken) * len(grid.seeds)
    tell(f"{len(there)} of {len(known) + unnamed} runs are there")
    return _lines(grid, trials, taken, [results.look(several) for several in finals])


def _finals(jobs: Jobs, grid: Grid, taken: Sequence[Choice]) -> list[list[Job]]:
    """The runs of each line under the rate that it takes; none where it has none to take."""
    return [
        [] if choice.failure or choice.open else jobs.finals(cell, choice.rate)
        for cell, choice in zip(grid.cells, taken, strict=True)
    ]


def _flat(tried: Sequence[Mapping[float, Sequence[Job]]]) -> list[list[Job]]:
    """The trials of each line."""
    return [[job for several in one.values() for job in several] for one in tried]


def _lines(
    grid: Grid, trials: Sequence[Trials], taken: Sequence[Choice], finals: Sequence[tuple[Outcome, ...]]
) -> tuple[Line, ...]:
    rates = [choice.rate for choice in taken]
    runs = [own or _not_begun(choice, grid) for own, choice in zip(finals, taken, strict=True)]
    return tuple(Line(*parts) for parts in zip(grid.cells, trials, rates, runs, strict=True))


def _not_begun(choice: Choice, grid: Grid) -> tuple[Outcome, ...]:
    """The runs of a line without a rate, none of which has begun."""
    return tuple(Outcome("", choice.failure, None) for _ in grid.seeds)


def _tell_changed_defaults(there: Sequence[Job], results: Results, tell: Tell) -> None:
    """Say which options of runs that are there already are those of an older version, which today's are not like."""
    found = [(job, results.read(job.name).result) for job in there]
    changes = [
        changed_defaults(result.options, expected(compile_options(job.cell.compiling, job.seed), job.model))
        for job, result in found
        if result
    ]
    words = [in_words(changed) for changed in changes if changed]
    for text in dict.fromkeys(words):
        runs = f"{words.count(text)} runs that are there already were learned under other defaults: {text}"
        tell(f"note: {runs}; remove them from {results.folder / 'runs'} to learn them again")


def _tell_failures(cells: Sequence[Cell], taken: Sequence[Choice], tell: Tell) -> None:
    for cell, choice in zip(cells, taken, strict=True):
        if choice.failure:
            tell(f"row {cell.row} ({cell.model}, {cell.data}): failed: {choice.failure}")


def _in_turns(lines: Iterable[Sequence[Job]]) -> list[Job]:
    """One run of each line after the other: a grid that is not finished compares its lines already."""
    return [job for turn in itertools.zip_longest(*lines) for job in turn if job is not None]


def _in_use(folder: Path, holders: str) -> GridError:
    return GridError(f"{folder}: is in use by {holders}; wait for its end, or name another folder")


def _learn(jobs: Sequence[Job], results: Results, place: Place, tell: Tell) -> None:
    """Learn the runs that have not ended yet; two cells may share one."""
    by_name = {job.name: job for job in jobs}
    there = {name for name in by_name if results.has(name)}
    _tell_changed_defaults([by_name[name] for name in by_name if name in there], results, tell)
    missing = [by_name[name] for name in by_name if name not in there]
    if not missing:
        return
    if len(missing) < len(jobs):
        tell(f"{len(jobs) - len(missing)} of {len(jobs)} runs are there already")
    learned = pool.outcomes(missing, place.cores, place.threads, place.dask, results.work)
    for number, outcome in enumerate(learned, start=1):
        results.write(outcome)
        found = results.read(outcome["name"])
        told = f"class-IL {found.result.class_il:.1f} %" if found.result else f"failed: {found.failure}"
        tell(f"{number}/{len(missing)} {found.name}: {told}")
