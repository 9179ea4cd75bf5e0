"""ONNX Runtime without its training front end. A leaf module, shared by the compiler and the runtime."""

import contextlib
import sys
from collections.abc import Iterator

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


with hidden(FRONT_END):
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as bindings

__all__ = ["FRONT_END", "bindings", "failures", "hidden", "ort"]


def failures() -> tuple[type[Exception], ...]:
    """Exceptions of the runtime: RuntimeError, and classes of its own that share no base.

    UnicodeDecodeError is what its binding raises where a message quotes a name that is not UTF-8.
    """
    own = [value for value in vars(bindings).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (RuntimeError, UnicodeDecodeError, *own)
