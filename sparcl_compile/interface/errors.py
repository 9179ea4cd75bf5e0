"""The one exception tree.

Everything a user can cause derives from :class:`SparclError`; the commands print its message as one
line and exit with code 2. A message names the file, node or option and says what to do about it.
This module imports nothing, so that the compiler, the passes and the runtime can all share it.
"""


class SparclError(Exception):
    """A user's mistake or a damaged input. The message is one line: what is wrong and the mend."""


class ModelError(SparclError):
    """The given model cannot be read or compiled."""


class UnsupportedOpsError(ModelError):
    """The model holds operators that cannot be trained; the message lists all of them."""


class PassOrderError(SparclError):
    """A pass runs out of order: the graph lacks what it builds on, or has what must come after it."""


class OptionError(SparclError):
    """An option's value is out of range or contradicts another one."""


class ArtifactError(SparclError):
    """An artifact folder is damaged, incomplete or of another version."""


class DataError(SparclError):
    """A data source cannot be read or does not fit the model."""


class CheckpointError(SparclError):
    """A run's checkpoint is damaged or belongs to another run."""


class TrainingError(SparclError):
    """Training cannot go on, for example because the loss is not a number."""


class WriteError(SparclError):
    """A file could not be written, for example because the disk is full."""
