"""The recorders of a run: its history for the page, and its curves."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparcl_compile.cli.loudness import is_quiet
from sparcl_compile.interface.artifact import Artifact, check_outside, read_report
from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.files import check_name, check_writable, write_text
from sparcl_compile.runtime.reporting.history import HistoryFile, read_history
from sparcl_compile.runtime.reporting.logs import NO_EVENTS, CsvLog, EventLog, can_write_events
from sparcl_compile.runtime.reporting.points import Recorder

if TYPE_CHECKING:
    from sparcl_compile.pages.run import Learned

SUFFIX = ".html"


def _other(folder: Path | None) -> "list[Learned]":
    """The recorded run in another checkpoint folder, none without one; raises CheckpointError."""
    if folder is None:
        return []
    from sparcl_compile.pages.run import Learned, check_finished

    found = Learned(folder.name, read_history(folder))
    check_finished(found)
    return [found]


class Recordings:
    """The recorders that the options of a run ask for.

    Args:
        artifact: that learns.
        folder: the checkpoint folder.
        report: the page; None for none.
        other: the run beside it.
        log_dir: the folder of the curves; None for none.
    """

    def __init__(
        self,
        artifact: Artifact,
        folder: Path,
        report: Path | None = None,
        other: "Sequence[Learned]" = (),
        log_dir: Path | None = None,
    ) -> None:
        self._artifact, self._folder, self._report, self._other = artifact, folder, report, other
        self._history = HistoryFile(folder) if report else None
        self._csv = CsvLog(log_dir) if log_dir else None
        self._events = EventLog(log_dir) if log_dir and can_write_events() else None

    @classmethod
    def checked(
        cls, artifact: Artifact, folder: Path, report: Path | None, beside: Path | None, log_dir: Path | None
    ) -> "Recordings":
        """Find out before long work whether everything can be written, and read the other run.

        Raises:
            OptionError: the page is no .html file, ``--beside`` comes without it, or a place lies in the artifact.
            CheckpointError: the other run was not recorded.
            WriteError: a file cannot be written.
        """
        if beside and not report:
            raise OptionError(f"--beside {beside}: is shown on the page of --report FILE; add that or leave this out")
        if report:
            check_name(report, SUFFIX, "report")
            check_outside(artifact.folder, report, "report")
            check_writable(report)
        if log_dir:
            check_outside(artifact.folder, log_dir, "log_dir")
            check_writable(log_dir / "epochs.csv")
            if not can_write_events():
                click.echo(f"note: --log-dir: {NO_EVENTS}", err=True)
        return cls(artifact, folder, report, _other(beside), log_dir)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Recorder]]:
        """The recorders, whose files are closed in the end."""
        try:
            yield [one for one in (self._history, self._csv, self._events) if one is not None]
        finally:
            if self._events:
                self._events.close()

    def write_report(self, result: Mapping[str, Any]) -> Path | None:
        """Write the page of the finished run, where one is asked for, and return its path."""
        if self._report is None or self._history is None:
            return None
        from sparcl_compile.pages.run import MEMORY, Learned, run_page

        estimate = plain(read_report(self._artifact.folder).memory)
        self._history.end({**result, MEMORY: estimate})
        own = Learned(self._folder.name, read_history(self._folder))
        if not own.history.epochs and not is_quiet():
            click.echo("note: --report: no epoch of this run was recorded, its page has the result alone", err=True)
        write_text(self._report, run_page([own, *self._other]))
        return self._report
