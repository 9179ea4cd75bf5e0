import subprocess
import sys

import pytest

from sparcl_compile.interface.onnx_runtime import hidden

LOADED = """
import sys
import sparcl_compile.runtime.session.engine
print(sorted({"onnx", "torch", "onnxruntime.training"} & sys.modules.keys()))
from onnxruntime.training import artifacts
print("onnxruntime.training" in sys.modules)
"""


def test_the_engine_loads_neither_onnx_nor_torch_and_the_front_end_can_follow() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


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
