"""Several runs at once: processes of this machine by joblib, or the workers of a Dask cluster."""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import joblib

from sparcl_compile.bench.jobs import Job
from sparcl_compile.bench.work import perform
from sparcl_compile.interface.errors import FieldError

FILTERS, TRACKER = "PYTHONWARNINGS", "ignore:resource_tracker"
SECONDS = 10
"""Seconds that a Dask scheduler may take to answer."""


def outcomes(jobs: Iterable[Job], cores: int, threads: int, dask: str | None, work: Path) -> Iterator[dict[str, Any]]:
    """Learn runs side by side and give each outcome when it is there, in any order.

    Args:
        jobs: the runs.
        cores: of this machine that they may take together.
        threads: that each takes.
        dask: the address of a Dask scheduler whose workers learn instead.
        work: the folder for the state of runs on this machine.

    Raises:
        FieldError: Dask is not installed, or nothing answers at the address.
        SparclError: a run cannot be learned.
    """
    kept = work if dask is None else None
    one = joblib.delayed(functools.partial(perform, threads=threads, work=kept, owner=os.getpid()))
    with _backend(cores, threads, dask):
        yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(one(job) for job in jobs)


@contextlib.contextmanager
def quiet_tracker() -> Iterator[None]:
    """Let the process that joblib tracks its temporary files with say nothing of those that are gone already.

    After Ctrl-C it removes them at the same time as the workers do, and would print a warning behind the last line.
    """
    before = os.environ.get(FILTERS)
    os.environ[FILTERS] = TRACKER if not before else f"{before},{TRACKER}"
    try:
        yield
    finally:
        os.environ.pop(FILTERS)
        os.environ.update({} if before is None else {FILTERS: before})


@contextlib.contextmanager
def _backend(cores: int, threads: int, dask: str | None) -> Iterator[None]:
    if dask is None:
        loky = joblib.parallel_config("loky", n_jobs=cores // threads, inner_max_num_threads=threads)
        with quiet_tracker(), loky:
            yield
        return
    with client(dask), joblib.parallel_config("dask", n_jobs=-1):
        yield


def client(address: str) -> Any:
    """A client of the Dask scheduler at an address.

    Raises:
        FieldError: Dask is not installed, or nothing answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        mend = "pip install 'sparcl-compile[dask]', or leave `dask` out to learn on this machine"
        raise FieldError("dask", address, "Dask is not installed", mend) from error
    try:
        return Client(address, timeout=SECONDS)
    except (OSError, ValueError) as error:  # its time-out is an OSError
        mend = "give the address that the scheduler prints, for example tcp://127.0.0.1:8786"
        raise FieldError("dask", address, "no Dask scheduler answers there", mend) from error
