from pathlib import Path

import numpy as np
import pytest

from tests.android.__main__ import bits
from tests.parity import runs, tape
from tests.parity.recorder import GRAPHS
from tests.parity.replayers import Replayer

ANDROID, LINUX = (Replayer(name, "1.29.0", (), None, "") for name in ("Android x86_64", "Linux x86_64, C API"))
VALUES = {"order/order": np.arange(3), "eval/logits": np.ones(2, np.float32)}


def recorded(folder: Path) -> runs.Reference:
    """A reference whose tape alone says what the graphs promise; the runtimes' folders have results, and no tape."""
    reference = runs.Reference("masked", folder, folder / "masked.sparcl")
    with tape.Writer(reference.recorded / GRAPHS) as writer:
        writer.line("graph", "order", "order.onnx", 0, "equal")
        writer.line("graph", "eval", "eval.onnx", 0, "close")
    return reference


@pytest.mark.parametrize(("logit", "told"), [(1.0, "no graph"), (1.0000001, "eval")])
def test_the_graphs_whose_bits_differ_are_named(logit: float, told: str, tmp_path: Path) -> None:
    reference = recorded(tmp_path)
    changed = {**VALUES, "eval/logits": np.array([1.0, logit], np.float32)}
    for runtime, values in ((ANDROID, changed), (LINUX, VALUES)):
        tape.write_results(tmp_path / runtime.folder / GRAPHS, values)
    line = bits(reference, ANDROID, LINUX)
    assert line == f"masked: {told} has other bits on Android x86_64 than on Linux x86_64, C API"


def test_a_runtime_that_did_not_run_is_told(tmp_path: Path) -> None:
    reference = recorded(tmp_path)
    tape.write_results(tmp_path / LINUX.folder / GRAPHS, VALUES)
    assert bits(reference, ANDROID, LINUX) == "masked: Android x86_64 and Linux x86_64, C API did not both run"
