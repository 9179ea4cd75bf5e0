import math

import numpy as np

from sparcl_compile.runtime.reporting.json_ready import json_ready


def test_json_ready_walks_nested_values() -> None:
    value = {"a": (np.float32(0.5), np.int64(3)), "b": np.array([1.0, np.inf]), "c": [math.nan, "text", None, True]}
    assert json_ready(value) == {"a": [0.5, 3], "b": [1.0, None], "c": [None, "text", None, True]}
    assert value["a"] == (0.5, 3)
