"""The exception tree.

Everything a user can cause derives from :class:`SparclError`; the commands print its message as one
line and exit with code 2. A message names the file, node or option and says what to do about it.
This module imports nothing, so that the compiler, the passes and the runtime can all share it.
"""


class SparclError(Exception):
    """A user's mistake or a damaged input. The message is one line: the fault and its fix."""


class ModelError(SparclError):
    """The given model cannot be read or compiled."""


class UnsupportedOpsError(ModelError):
    """The model holds operators that cannot be trained; the message lists all of them."""


class PassOrderError(SparclError):
    """A pass runs out of order: the graph lacks what it builds on, or has what must come after it."""


class OptionError(SparclError):
    """An option's value is out of range or contradicts another one."""


class FieldError(OptionError):
    """A field of the options or of a pass cannot have its value.

    A message names fields in backquotes, since a field is an option of a command in one place and an argument in
    another; a command puts its options in their place.

    Attributes:
        field: its name; empty where the pass itself cannot be.
        value: what it was given; None where that says nothing.
        problem: what is wrong with it, may be empty.
        mend: what to do about it, may be empty.
        made_by: the name of the pass; empty where it is none.
    """

    def __init__(self, field: str, value: object, problem: str = "", mend: str = "", joint: str = ": ") -> None:
        """Put the message together; ``joint`` stands between the value and the problem."""
        super().__init__(field, value, problem, mend)
        self.field, self.value, self.problem, self.mend, self.made_by = field, value, problem, mend, ""
        self._joint = joint

    def told(self, subject: str, mend: str) -> str:
        """The message with another name for the subject and another fix."""
        return f"{subject}{self._joint}{'; '.join(part for part in (self.problem, mend) if part)}"

    @property
    def message(self) -> str:
        """The message without the name of the pass."""
        value = "" if self.value is None else f" {self.value}"
        return self.told(f"`{self.field}`{value}" if self.field else self.made_by, self.mend)

    def __str__(self) -> str:
        return f"{self.made_by}: {self.message}" if self.field and self.made_by else self.message


class ArtifactError(SparclError):
    """An artifact folder is damaged, incomplete or of another version."""


class DataError(SparclError):
    """A data source cannot be read or does not fit the model."""


class GridError(SparclError):
    """A grid of runs cannot be read, or its runs cannot go on."""


class CheckpointError(SparclError):
    """A run's checkpoint is damaged or belongs to another run."""


class BusyError(CheckpointError):
    """Another process runs in a checkpoint's folder."""


class TrainingError(SparclError):
    """Training cannot go on, for example because the loss is not a number.

    Attributes:
        fault: the message without its end, which says where the run stands and how to go on.
    """

    def __init__(self, fault: str, standing: str = "") -> None:
        """Put the message together."""
        super().__init__("; ".join(part for part in (fault, standing) if part))
        self.fault = fault


class RuntimeBuildError(SparclError, ImportError):
    """ONNX Runtime is missing, damaged, there more than once, or not the build that is needed."""


class WriteError(SparclError):
    """A file could not be written, for example because the disk is full."""
