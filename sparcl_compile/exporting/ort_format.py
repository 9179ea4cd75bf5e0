"""ONNX Runtime's own file format, for a minimal build on a phone. Only this module knows ORT's conversion tools."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import told
from sparcl_compile.interface.onnx_runtime import failures

SUFFIXES = (".ort", ".required_operators.config")


def convert(content: bytes, name: str) -> dict[str, bytes]:
    """The files of a model in ORT format.

    The tool converts every .onnx file of a folder and writes beside it, hence a folder of its own. Its optimisations
    are those of every processor: the blocked layout of x86 is left out.

    Args:
        content: an .onnx file's bytes.
        name: what the config calls the model.

    Returns:
        By suffix the ``.ort`` file, and the config for ORT's build option ``--include_ops_by_config``.

    Raises:
        ModelError: ONNX Runtime cannot convert the model.
    """
    with told(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder, _quiet():
        from onnxruntime.tools import convert_onnx_models_to_ort as tool

        model = Path(folder, "model.onnx")
        model.write_bytes(content)
        try:
            tool.convert_onnx_models_to_ort(model, optimization_styles=[tool.OptimizationStyle.Fixed])
        except failures() as error:
            raise ModelError(f"{name}: ONNX Runtime cannot write its format: {' '.join(str(error).split())}") from error
        made = {suffix: model.with_suffix(suffix).read_bytes() for suffix in SUFFIXES}
    # The config names the file it was made from, by its whole path.
    config = made[SUFFIXES[1]].decode().replace(str(model.with_suffix(".ort").resolve()), f"{name}.ort")
    return {**made, SUFFIXES[1]: config.encode()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tool prints and logs what it does, and sets up logging when it is imported."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
