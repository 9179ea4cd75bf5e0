"""Turns what fails inside ONNX Runtime into an error of one line."""

import contextlib
from collections.abc import Iterator

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError, TrainingError
from sparcl_compile.interface.onnx_runtime import failures
from sparcl_compile.interface.values import UnknownValue


@contextlib.contextmanager
def running(artifact: Artifact) -> Iterator[None]:
    """A block in which a graph may fail that ONNX Runtime has loaded, as only data or a damaged graph make it.

    A program that reads what nothing gives is refused when it is loaded. What is left is a value that a run of these
    options does not come to.
    """
    try:
        yield
    except UnknownValue as error:
        raise ArtifactError(
            f"{artifact.folder}: its program is damaged ({error.args[0]}); compile the model again, and where "
            "that does not help, report this with the model"
        ) from error
    except failures() as error:
        if isinstance(error, NotImplementedError | RecursionError):
            raise
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{artifact.folder}: ONNX Runtime cannot compute a graph of it ({reason}); compile the model again, and "
            "where that does not help, report this with the model"
        ) from error
