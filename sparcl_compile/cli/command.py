"""Ends every command: a user's mistake gives one line and code 2, a bug a traceback, Ctrl-C one line and code 130.

SIGTERM and SIGHUP end one as Ctrl-C does, with codes of their own.
"""

import contextlib
import errno
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Container
from pathlib import Path
from typing import Any, NoReturn, cast

import click
from click.core import ParameterSource

from sparcl_compile.cli.config_file import Configured, configured
from sparcl_compile.cli.guides import GUIDES
from sparcl_compile.cli.help import first_steps, write_options
from sparcl_compile.cli.loudness import is_verbose, loudness_options
from sparcl_compile.interface.errors import (
    CheckpointError,
    FieldError,
    ModelError,
    OptionError,
    SparclError,
    TrainingError,
)
from sparcl_compile.interface.stopping import Stopped, stoppable

USER_ERROR = 2
SIGNALLED = 128
"""With the signal's number the exit code of a program that a signal ended, as a shell reports it."""

NAMING_FIELDS = (FieldError, ModelError, TrainingError, CheckpointError)
FIELD = re.compile(r"`(\w+)`")
SWITCHES = {"fold_channels": ("fold", "give --no-fold")}
"""The field of the option that turns a pass off and the fix that a message names, by pass."""


class Command(click.Command):
    """A click command with one-line errors, a guide in its help, and options from a file.

    A command may set its context's ``obj`` to the text that Ctrl-C is to end with.
    """

    _began = 0.0

    def __init__(self, name: str | None, **settings: Any) -> None:
        """Take click's settings; a command's function is called after it: ``compile_command``."""
        super().__init__(name, **settings)
        self.params += loudness_options()
        self.section = (name or "").partition("-")[0]
        self._from_file = Configured()

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments; click would print its usage over several lines."""
        self._began = time.perf_counter()
        if extra.get("resilient_parsing"):  # the shell completes a line
            return super().make_context(info_name, args, parent, **extra)
        words = len(args)  # click takes what it has read out of the list
        try:
            self._from_file = configured(self.section, self.params, Path.cwd())
            extra["default_map"] = dict(self._from_file.values)
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not words and isinstance(error, click.MissingParameter):
                self._show_first_steps(info_name)
            fail(f"{self._with_origin(error)}; see {info_name} --help")
        except OptionError as error:
            fail(str(error))

    def _show_first_steps(self, info_name: str | None) -> None:
        """Print them; the line that says what is missing follows, since a script whose variable is empty is wrong."""
        context = self.context_class(self, info_name=info_name)
        click.echo(first_steps(GUIDES[self.section], context))

    def _with_origin(self, error: click.UsageError) -> str:
        """Click's message, with the place in the file of a value that is not on the command line."""
        message, name = error.format_message().rstrip("."), getattr(getattr(error, "param", None), "name", None)
        at_fault = name in self._from_file.values and isinstance(error, click.BadParameter)
        return f"{self._from_file.place(name)}: {message}" if at_fault and name else message

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by topic."""
        write_options(GUIDES[self.section], self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; anything but a user's mistake is a bug and keeps its traceback."""
        with stoppable() as stopped:
            return self._invoke(ctx, stopped)

    def _invoke(self, ctx: click.Context, stopped: Stopped) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _end(ctx, stopped)
        except OSError as error:
            if stopped.number is not None:  # a terminal that hung up takes no output any more
                _end(ctx, stopped)
            _refuse(error)
        except SparclError as error:
            if is_verbose():
                traceback.print_exc()
            fail(f"{in_options(error, self)}{self._origins(ctx, error)}")
        except MemoryError as error:
            fail(f"the memory is too small ({error}); give smaller numbers, or a machine with more")

    def _origins(self, ctx: click.Context, error: SparclError) -> str:
        """Where the options that a message names are written, of those that a file gives."""
        if not isinstance(error, NAMING_FIELDS):
            return ""
        named = {name for name in FIELD.findall(str(error)) if name in self._from_file.values}
        given = [one for one in sorted(named) if ctx.get_parameter_source(one) is ParameterSource.DEFAULT_MAP]
        return "".join(f" ({self._from_file.place(one)})" for one in given)

    def seconds(self, name: str | None) -> float:
        """The seconds that the command has run, since the start of the process where that runs the script ``name``."""
        own = process_seconds() if Path(sys.argv[0]).name == name else None
        return time.perf_counter() - self._began if own is None else own


def seconds_so_far() -> float:
    """The seconds that the current command has run."""
    context = click.get_current_context()
    return cast(Command, context.command).seconds(context.info_name)


def process_seconds() -> float | None:
    """The seconds that this process has run, Python's start and all imports included; None without /proc."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):
        return None


def _end(ctx: click.Context, stopped: Stopped) -> NoReturn:
    """Leave with the line and the code of the signal that ended the command."""
    code = SIGNALLED + (stopped.number or signal.SIGINT)
    with contextlib.suppress(OSError):
        fail(ctx.obj or "interrupted", code)
    sys.exit(code)


def _refuse(error: OSError) -> NoReturn:
    """Leave with the message of an error that no part has put into words of its own."""
    if error.errno == errno.EPIPE:  # the reader of the output has gone; click ends the command
        raise error
    name = f"{error.filename}: " if error.filename else ""
    fail(f"{name}the system refuses ({error.strerror or error}); check permissions, space and the path")


def in_options(error: SparclError, command: click.Command) -> str:
    """An error's message, with the options of a command in the place of the fields that it names in backquotes."""
    if not isinstance(error, NAMING_FIELDS):
        return str(error)
    options = {param.name: param.opts[0] for param in command.params if isinstance(param, click.Option)}
    return FIELD.sub(lambda found: options.get(found[1], found[1]), _message(error, options))


def _message(error: SparclError, options: Container[str | None]) -> str:
    """The message, without the pass's name where the command has an option for its field."""
    if not isinstance(error, FieldError):
        return str(error)
    field, mend = (error.field, error.mend) if error.field else SWITCHES.get(error.made_by, ("", error.mend))
    if field not in options:
        return str(error)
    return error.message if error.field else error.told(f"`{field}`", mend)


def fail(message: str, code: int = USER_ERROR) -> NoReturn:
    """Print an error as one line and leave."""
    click.echo(f"{click.style('error: ', fg='red', bold=True)}{' '.join(message.split())}", err=True)
    sys.exit(code)
