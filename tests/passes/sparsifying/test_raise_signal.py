"""Untrained weights of deep networks become large enough for samples to differ at the classes; all others stay."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import RAISED_KEY
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.importing.remarks import remarks_of
from sparcl_compile.passes.sparsifying.raise_signal import LEAST_ELEMENTS, RaiseSignal, untrained
from tests.support.deep import CHANNELS, CLASSES, DEPTH, IMAGE, as_file, deep
from tests.support.gradient_check import imported
from tests.support.networks import KeywordSpotter
from tests.support.small_model import changed_lines

TARGET = 0.03


def exported(module: nn.Module, sample: tuple[int, ...] = IMAGE) -> ir.Model:
    return imported(as_file(module, sample))


def contents(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: data_of(value).copy() for name, value in model.graph.initializers.items()}


def factors(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, float]:
    """By name what an initializer was multiplied by; it is one number for all of its elements."""
    changed = {name: after[name] / data for name, data in before.items() if not np.array_equal(data, after[name])}
    for quotient in changed.values():
        np.testing.assert_allclose(quotient, quotient.flat[0], rtol=1e-5)
    return {name: float(quotient.flat[0]) for name, quotient in changed.items()}


def raised(model: ir.Model, deviation: float = TARGET) -> dict[str, float]:
    before = contents(model)
    RaiseSignal(deviation)(model)
    return factors(before, contents(model))


def deviations(module: nn.Sequential, rows: int = 512) -> list[float]:
    """Of each layer's outputs from sample to sample under normal noise, as PyTorch computes them."""
    x, found = torch.randn((rows, *IMAGE), generator=torch.Generator().manual_seed(7)), []
    for layer in module:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            found.append(float(x.detach().var(dim=0).mean().sqrt()))
    return found


def with_factors(module: nn.Sequential, found: dict[str, float]) -> nn.Sequential:
    """The module with its weights multiplied as a model's were."""
    with torch.no_grad():
        for name, factor in found.items():
            module.get_parameter(name).mul_(factor)
    return module


# The rule


def test_the_logits_have_the_deviation_afterwards() -> None:
    module = deep()
    assert deviations(module)[-1] < TARGET / 20
    found = raised(exported(module))
    assert set(found) == {f"{2 * place}.weight" for place in range(DEPTH)}
    assert all(1.2 < factor < 3.0 for factor in found.values())
    assert deviations(with_factors(module, found))[-1] == pytest.approx(TARGET, rel=0.3)


def test_every_layer_has_the_deviation_one_where_that_is_not_enough() -> None:
    module = deep()
    found = raised(exported(module), deviation=100.0)
    *hidden, _ = deviations(with_factors(module, found))
    np.testing.assert_allclose(hidden, 1.0, atol=0.1)


def test_the_factors_of_an_intermediate_power_are_those_of_the_whole_one_to_that_power() -> None:
    part, whole = raised(exported(deep())), raised(exported(deep()), deviation=100.0)
    powers = [np.log(part[name]) / np.log(whole[name]) for name in whole]
    np.testing.assert_allclose(powers, powers[0], rtol=0.02)
    assert 0.0 < powers[0] < 1.0


def test_what_saturates_gets_larger_factors() -> None:
    relu, sigmoid = raised(exported(deep())), raised(exported(deep(between=nn.Sigmoid)))
    assert max(sigmoid.values()) > 3 * max(relu.values())


def test_a_second_run_changes_nothing() -> None:
    model = exported(deep())
    assert RaiseSignal()(model).modified
    before = ir.to_proto(model)
    assert not RaiseSignal()(model).modified
    assert not RaiseSignal(deviation=1.0)(model).modified
    assert ir.to_proto(model) == before


def test_no_node_changes_and_the_weights_are_marked() -> None:
    model = exported(deep())
    before = model.clone()
    found = raised(model)
    assert not changed_lines(before, model)
    marked = {name: v.metadata_props.get(RAISED_KEY) for name, v in model.graph.initializers.items()}
    assert {name for name, mark in marked.items() if mark} == set(found)
    assert all(float(str(marked[name])) == pytest.approx(factor, rel=1e-5) for name, factor in found.items())


def test_the_report_says_it() -> None:
    model = exported(deep())
    RaiseSignal()(model)
    (line,) = [line for line in remarks_of(model) if "untrained" in line]
    assert f"{DEPTH} weights that no normalisation follows are 1." in line
    assert "which makes it 0.03 (--scaling none leaves them)" in line


def test_factors_are_rounded_so_that_processors_agree() -> None:
    found = raised(exported(deep()))
    assert all(factor == pytest.approx(float(f"{factor:.3g}"), rel=1e-6) for factor in found.values())


# What stays as it is


def test_a_network_whose_samples_differ_stays() -> None:
    torch.manual_seed(0)
    shallow = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    assert not raised(exported(shallow, (24,)))


def test_a_normalised_network_stays() -> None:
    assert not raised(exported(deep(between=lambda: nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU()))))


def test_weights_that_may_have_learned_stay() -> None:
    module = deep()
    with torch.no_grad():
        module[4].weight.normal_(std=float(module[4].weight.std()))
    assert not raised(exported(module))


def test_one_large_element_is_enough_to_have_learned() -> None:
    module = deep()
    with torch.no_grad():
        module[4].weight[0, 0, 0, 0] = 3 * float(module[4].weight.abs().max())
    assert not raised(exported(module))


def test_weights_too_small_to_tell_count_for_neither() -> None:
    even = ir.Value(name="even", const_value=ir.tensor(np.linspace(-1, 1, 300, dtype=np.float32)))
    small = ir.Value(name="small", const_value=ir.tensor(np.array([0, 0, 0, 9], np.float32)))
    assert untrained([even])
    assert untrained([even, small])
    assert not untrained([small])
    assert not untrained([])


@pytest.mark.parametrize("seed", range(20))
def test_draws_are_told_apart(seed: int) -> None:
    generator = np.random.default_rng(seed)

    def weight(data: np.ndarray) -> ir.Value:
        return ir.Value(name="w", const_value=ir.tensor(data.astype(np.float32)))

    assert untrained([weight(generator.uniform(-0.1, 0.1, 256))])
    assert not untrained([weight(generator.normal(0.0, 0.1, 256))])


def test_frozen_weights_stay() -> None:
    model = exported(deep())
    set_role(model.graph.initializers["4.weight"], Role.FROZEN)
    assert set(raised(model)) == {f"{2 * place}.weight" for place in range(DEPTH) if place != 2}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:Exporting a model to ONNX with a batch_size")
def test_recurrent_weights_stay() -> None:
    torch.manual_seed(0)
    model = exported(KeywordSpotter(nn.LSTM, bands=24, units=12), (24, 10))
    before = contents(model)
    assert any(data.size >= LEAST_ELEMENTS for name, data in before.items() if "recurrent" in name)
    assert set(raised(model, deviation=100.0)) == {"frames.weight"}


def test_a_deviation_of_zero_raises_nothing() -> None:
    assert not raised(exported(deep()), deviation=0.0)


def test_a_network_without_any_signal_stays() -> None:
    module = deep()
    with torch.no_grad():
        module[-1].weight.zero_()
    assert not raised(exported(module))


# Inputs


class OwnScale(nn.Module):
    """A network that takes bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = deep()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and answer."""
        return torch.as_tensor(self.body((x - 127.0) / 64.0))


def test_a_model_that_scales_its_samples_gets_the_factors_of_one_that_does_not() -> None:
    plain, scaling = raised(exported(deep())), raised(exported(OwnScale()))
    for name, factor in plain.items():
        assert scaling[f"body.{name}"] == pytest.approx(factor, rel=0.05)


class Places(nn.Module):
    """A network whose samples are rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 16)
        layers = [nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(8)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Look up and answer."""
        return torch.as_tensor(self.body(self.table(x.long())))


def test_samples_that_are_rows_of_a_table_stay_among_them() -> None:
    torch.manual_seed(0)
    found = raised(exported(Places(), (6,)))
    assert len(found) == 8
    assert min(found.values()) > 1.0


class Asking(nn.Module):
    """A deep network beside a layer that reads no sample, but rows of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.rows, self.asked = deep(), nn.Parameter(torch.rand(5, 7)), nn.Linear(7, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer beside what the rows say."""
        return torch.as_tensor(self.body(x) + self.asked(self.rows).mean(0))


def test_a_layer_that_reads_no_sample_keeps_its_weight() -> None:
    model = exported(Asking())
    found = raised(model)
    assert found["body.0.weight"] > 1.0
    assert not any(name.startswith(("asked", "rows")) for name in found)
    assert any(f"{DEPTH} weights that no normalisation follows" in line for line in remarks_of(model))


# What is refused


@pytest.mark.parametrize("deviation", [-0.1, float("nan"), float("inf")])
def test_a_deviation_that_is_none_is_refused(deviation: float) -> None:
    with pytest.raises(FieldError, match=r"give a number from 0, for example 0\.03"):
        RaiseSignal(deviation)(exported(deep()))
