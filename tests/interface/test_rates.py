"""The learning rate of a run that names none."""

import re
from pathlib import Path
from typing import get_args

import onnx
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.specs import OptimizerSpec
from sparcl_compile.passes.analysis.normalised import HiddenLayers
from sparcl_compile.settings.options import FEW_EPOCHS, LEARNING_RATES, CompileOptions, Rates, learning_rates
from tests.support.deep import as_file, deep
from tests.support.zoo import ZOO
from tests.support.zoo_ort import only_ort

SAID = re.compile(
    r"names no rate: (\S+) for adamw; .* (\S+) where the output of every .* (\S+) where that holds of all but GRUs .*"
    r" (\S+) for other models, which get (\S+) with (\d+) epochs .*`--step-limit`, (\S+)\)",
    re.DOTALL,
)
MODELS = {
    "normalised": lambda: ZOO["cnn_bn"](),
    "gated": lambda: only_ort("gru"),
    "raised": lambda: as_file(deep()),
    "other": lambda: ZOO["mlp"](),
}
"""A model of each kind of hidden layers."""


@pytest.mark.parametrize(("epochs", "rate"), [(1, 0.5), (5, 0.5), (6, 0.3), (50, 0.3)])
def test_few_epochs_have_a_rate_of_their_own(epochs: int, rate: float) -> None:
    assert OptimizerSpec("sgd", 0.3, 0.5, 5).rate_for(epochs) == rate


def test_every_optimizer_has_rates_and_few_epochs_never_a_smaller_one() -> None:
    kinds = get_args(HiddenLayers)
    assert set(LEARNING_RATES) == {(name, kind) for name in ("sgd", "adamw") for kind in kinds}
    assert all(rates.few >= rates.many > 0 for rates in LEARNING_RATES.values())
    assert FEW_EPOCHS >= 3


@pytest.mark.parametrize(("momentum", "many", "few"), [(0.0, 0.1, 0.15), (0.5, 0.05, 0.075), (0.9, 0.01, 0.015)])
def test_momentum_takes_back_what_it_adds_up(momentum: float, many: float, few: float) -> None:
    assert learning_rates(CompileOptions(momentum=momentum), "other") == Rates(many, few)


def test_an_optimizer_with_moments_of_its_own_keeps_its_rate() -> None:
    assert learning_rates(CompileOptions(optimizer="adamw"), "gated") == LEARNING_RATES["adamw", "gated"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", MODELS)
def test_an_artifact_has_the_rates_that_the_page_of_the_algorithm_gives_its_model(
    kind: str, optimizer: str, root: Path, tmp_path: Path
) -> None:
    said = SAID.search((root / "docs" / "algorithm.md").read_text(encoding="utf-8"))
    assert said is not None
    adamw, normalised, gated, other, few, epochs, limit = map(float, said.groups())
    sgd = {
        "normalised": (normalised, normalised),
        "gated": (gated, gated),
        "raised": (other, other),
        "other": (other, few),
    }
    onnx.save(MODELS[kind](), tmp_path / "model.onnx")
    options = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, optimizer=optimizer)
    compile_model(tmp_path / "model.onnx", tmp_path / "model.sparcl", options)
    found = load(tmp_path / "model.sparcl").manifest.optimizer
    rates = sgd[kind] if optimizer == "sgd" else (adamw, adamw)
    wanted = OptimizerSpec(optimizer, *rates, int(epochs), limit if optimizer == "sgd" else 0.0)
    assert found == wanted
