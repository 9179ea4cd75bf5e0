import subprocess
import sys

import pytest

from sparcl_compile.interface.onnx_runtime import hidden

LOADED = """
import sys
import sparcl_compile.runtime.session.engine
print(sorted({"onnx", "torch", "onnxruntime.training"} & sys.modules.keys()))
"""
FOLLOWED = """
from onnxruntime.training import artifacts
print("onnxruntime.training" in sys.modules)
"""


def printed(code: str) -> list[str]:
    """The lines that Python code prints in a process of its own."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_engine_loads_neither_onnx_nor_torch() -> None:
    assert printed(LOADED) == ["[]"]


@pytest.mark.training_build
def test_the_front_end_can_follow() -> None:
    assert printed(LOADED + FOLLOWED)[:2] == ["[]", "True"]


def test_a_hidden_module_cannot_be_imported_until_it_is_shown_again() -> None:
    sys.modules.pop("colorsys", None)
    with hidden("colorsys"), pytest.raises(ImportError):
        import colorsys  # the statement that fails
    import colorsys

    assert colorsys.rgb_to_hsv


def test_what_is_loaded_stays() -> None:
    with hidden("json"):
        import json
    assert json.dumps(1) == "1"
