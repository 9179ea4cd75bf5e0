import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.export import export
from models.small import mlp
from sparcl_compile.bench.defaults import changed_defaults, expected, in_words
from sparcl_compile.settings.options import CompileOptions


def stored(options: CompileOptions, **changed: object) -> dict[str, Any]:
    """The options as a result tells them."""
    return {**json.loads(json.dumps(dataclasses.asdict(options))), **changed}


@pytest.mark.parametrize("method", ["der++", "er"])
def test_the_loss_of_an_older_version_is_another(method: str) -> None:
    today = CompileOptions(method=method)
    found = changed_defaults(stored(today, loss_classes="all"), today)
    assert in_words(found) == "--loss-classes all (today: balanced)"


@pytest.mark.parametrize("method", ["finetune", "der", "a-gem", "lwf", "er-ace"])
def test_a_default_with_another_name_and_the_same_meaning_is_none(method: str) -> None:
    today = CompileOptions(method=method)
    assert changed_defaults(stored(today, loss_classes="all"), today) == {}


def test_only_what_both_versions_have_is_compared() -> None:
    today = CompileOptions(dense=("a.*",))
    older = stored(today, of_then=1)
    del older["rate_decay"]
    assert changed_defaults(older, today) == {}
    assert changed_defaults({**older, "step_limit": 0.5, "dense": []}, today) == {
        "dense": ([], ["a.*"]),
        "step_limit": (0.5, None),
    }


@pytest.mark.parametrize("policy", ["tdm", "rigl"])
def test_a_policy_that_the_model_settled_is_no_change(policy: str) -> None:
    today = CompileOptions()
    assert changed_defaults(stored(today, mask_policy=policy), today) == {}
    named = CompileOptions(mask_policy="set")
    assert (
        in_words(changed_defaults(stored(today, mask_policy=policy), named)) == f"--mask-policy {policy} (today: set)"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "--replay-batches separate (today: merged)"),
        ({"replay_batches": "separate"}, ""),
        ({"method": "a-gem"}, ""),
        ({"update": "bias"}, ""),  # which statistics are fixed takes a compilation
    ],
)
def test_a_way_to_replay_that_the_model_settles_otherwise_today(options: dict[str, Any], told: str, root: Path) -> None:
    given = CompileOptions(**options)
    today = expected(given, root / "models" / "digits_cnn.onnx")
    assert in_words(changed_defaults(stored(given, replay_batches="separate"), today)) == told


def test_a_model_without_shared_statistics_replays_as_before(tmp_path: Path) -> None:
    export(mlp(width=8), (1, 8, 8), tmp_path / "m.onnx")
    today = expected(CompileOptions(), tmp_path / "m.onnx")
    assert changed_defaults(stored(today, replay_batches="separate"), today) == {}


def batch_normalised(text: str) -> onnx.ModelProto:
    """A model of a text in which ``s`` stands for the constants of a normalisation."""
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "own" : 1]> {text}')
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ones(4, np.float32), name) for name in ("s", "b", "m", "v")
    )
    return made


@pytest.mark.parametrize(
    "text",
    [
        # It normalises what no class depends on.
        """g (float[N,4] x) => (float[N,4] y, float[N,4] z) {
            y = Relu (x)
            z = BatchNormalization (x, s, b, m, v)
        }""",
        # It stands in a function, which the import takes apart.
        """g (float[N,4] x) => (float[N,4] y) { y = own.normalise (x, s, b, m, v) }
        <domain: "own", opset_import: ["" : 17]>
        normalise (x, s, b, m, v) => (y) { y = BatchNormalization (x, s, b, m, v) }""",
    ],
)
@pytest.mark.parametrize("settled", ["merged", "separate"])
def test_what_only_a_compilation_finds_out_is_not_told(text: str, settled: str, tmp_path: Path) -> None:
    onnx.save(batch_normalised(text), tmp_path / "m.onnx")
    given = CompileOptions()
    found = changed_defaults(stored(given, replay_batches=settled), expected(given, tmp_path / "m.onnx"))
    assert in_words(found) == ""
