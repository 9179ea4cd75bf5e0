"""ONNX Runtime's own file format, for a minimal build on a phone. Only this module knows ORT's conversion tools."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import told
from sparcl_compile.interface.onnx_runtime import failures

SUFFIX, CONFIG = ".ort", "required_operators.config"
SUFFIXES = (SUFFIX, f".{CONFIG}")
TRAINS = "BatchNormalization"
"""The operator of whose kernel a minimal build leaves out the half that a training graph runs."""
DEFINE = "BATCHNORM_INCLUDE_TRAINING_SUPPORT"
"""Macro that a build defines to keep it (onnxruntime/core/providers/cpu/nn/batch_norm.h)."""
ADVICE = f"# Build with CXXFLAGS=-D{DEFINE}: without it no graph loads that trains {TRAINS}.\n"


def convert(content: bytes, name: str) -> dict[str, bytes]:
    """The files of a model in ORT format.

    Args:
        content: an .onnx file's bytes.
        name: what the config calls the model.

    Returns:
        By suffix the ``.ort`` file, and the config for ORT's build option ``--include_ops_by_config``.

    Raises:
        ModelError: ONNX Runtime cannot convert the model.
    """
    with told(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.onnx")
        model.write_bytes(content)
        _convert(model, name)
        made = {suffix: model.with_suffix(suffix).read_bytes() for suffix in SUFFIXES}
        own = str(model.with_suffix(SUFFIX).resolve())
    return {**made, SUFFIXES[1]: made[SUFFIXES[1]].replace(own.encode(), f"{name}{SUFFIX}".encode())}


def convert_folder(folder: Path, name: str, kernels: Path | None) -> None:
    """Write every .onnx file below a folder in ORT format too, beside it, and into the folder one config for all.

    The config begins with a comment on what its operators need of a build beside themselves.

    Args:
        folder: of the graphs.
        name: of the model that they come from, for the message.
        kernels: the kernel library, where a graph needs it.

    Raises:
        ModelError: ONNX Runtime cannot convert one of them.
    """
    _convert(folder, name, kernels)
    config = folder / CONFIG
    text = config.read_text(encoding="utf-8").replace(f"{folder.resolve()}/", "")
    config.write_text(f"{ADVICE if TRAINS in text else ''}{text}", encoding="utf-8")


def _convert(place: Path, name: str, kernels: Path | None = None) -> None:
    """Convert a file, or all files below a folder; what the tool writes lies beside them.

    Its optimisations are those of every processor: the blocked layout of x86 is left out. The config names the files by
    their whole paths.
    """
    with _quiet():
        from onnxruntime.tools import convert_onnx_models_to_ort as tool

        style = [tool.OptimizationStyle.Fixed]
        try:
            tool.convert_onnx_models_to_ort(place, optimization_styles=style, custom_op_library_path=kernels)
        except failures() as error:
            raise ModelError(f"{name}: ONNX Runtime cannot write its format: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tool prints and logs what it does, sets up logging when it is imported, and closes no file that it reads."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        logging.disable(before)
