"""ONNX Runtime without its training front end. A leaf module, shared by the compiler and the runtime."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from sparcl_compile.interface.errors import RuntimeBuildError
from sparcl_compile.interface.runtime_builds import STOCK, check_one_build, installed_builds, named, training_mend

FRONT_END = "onnxruntime.training"


@contextlib.contextmanager
def hidden(module: str) -> Iterator[None]:
    """Make the import of a module fail, for a time; one that is loaded already stays as it is.

    The training build tries its front end while it is imported, to find out about CUDA, and goes on without it where
    that raises ImportError. The front end brings onnx along, and PyTorch where it is installed (226 MB, and more than a
    second); a run calls nothing but sessions, and the compiler the gradient builder below the front end. ``None`` in
    ``sys.modules`` is Python's own way to refuse an import.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


check_one_build()
with hidden(FRONT_END):
    try:
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as bindings
    except ImportError as error:
        raise RuntimeBuildError(f"{STOCK} cannot be loaded ({error}); pip install --force-reinstall {STOCK}") from error

__all__ = ["FRONT_END", "bindings", "check_training_build", "failures", "has_training_build", "hidden", "ort"]


def has_training_build() -> bool:
    """Whether the installed ONNX Runtime is the training build: the stock package lacks the front end."""
    return importlib.util.find_spec(FRONT_END) is not None


def check_training_build(subject: str, instead: str) -> None:
    """Raise RuntimeBuildError where the installed ONNX Runtime is not the training build.

    Args:
        subject: what needs it.
        instead: the way out that needs none.
    """
    if not has_training_build():
        builds = installed_builds()
        there = named(builds) or f"{STOCK} {ort.__version__}"
        raise RuntimeBuildError(
            f"{subject} needs ONNX Runtime's training build, and {there} is installed; {instead}, "
            f"or {training_mend(builds)}"
        )


def failures() -> tuple[type[Exception], ...]:
    """Exceptions of the runtime: RuntimeError, and classes of its own that share no base.

    UnicodeDecodeError is what its binding raises where a message quotes a name that is not UTF-8.
    """
    own = [value for value in vars(bindings).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (RuntimeError, UnicodeDecodeError, *own)
