from pathlib import Path

import onnx_ir as ir
import pytest
import torch

from models.export import export
from models.resnet import resnet18
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.manifest import Update
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.stages import parameter_stages
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import frozen_names, role_of, values_with_role
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters, update_summary
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import changed_lines, forward_model, run_twice
from tests.support.zoo import ZOO

CLASSIFIER = {"fc.weight", "fc.bias"}


def imported(name: str) -> ir.Model:
    model = ir.from_proto(ZOO[name]())
    ImportForward()(model)
    return model


def trained(model: ir.Model) -> set[str]:
    return {str(value.name) for value in values_with_role(model, Role.PARAMETER)}


def test_a_norm_with_frozen_scale_and_shift_goes_into_inference_form() -> None:
    model = forward_model()
    before = run_twice(FreezeParameters(freeze=("conv.weight", "bn.*")), model)
    assert changed_lines(before, model) == [
        '-[bn] b, "bn.mean.next", "bn.var.next" = BatchNormalization <training_mode: int = 1> '
        '(c, "bn.scale", "bn.bias", "bn.mean", "bn.var")',
        '+[bn] b = BatchNormalization (c, "bn.scale", "bn.bias", "bn.mean", "bn.var")',
    ]
    assert [value.name for value in model.graph.outputs] == ["logits"]
    assert frozen_names(model) == ("conv.weight", "bn.scale", "bn.bias")
    assert role_of(model.graph.initializers["bn.mean"]) is Role.RUNNING_STAT


@pytest.mark.parametrize("part", ["bn.scale", "bn.bias"])
def test_a_norm_of_which_something_trains_stays_in_training_form(part: str) -> None:
    model = forward_model()
    before = run_twice(FreezeParameters(freeze=(part,)), model)
    assert changed_lines(before, model) == []
    assert [value.name for value in model.graph.outputs] == ["logits", "bn.mean.next", "bn.var.next"]


def test_frozen_weights_get_no_mask() -> None:
    model = forward_model(dense=())
    FreezeParameters(freeze=("conv.weight",))(model)
    assert model.graph.initializers["conv.weight"].metadata_props[DENSE_KEY] == "frozen"
    InsertWeightMasks(sparsity=0.5)(model)
    assert [weight.name for weight in masked_layers(model)] == ["head.weight"]


def test_with_everything_training_nothing_changes() -> None:
    model = forward_model()
    assert not FreezeParameters()(model).modified
    assert update_summary(model) == Update(121, 121, None, None)


def test_every_parameter_is_marked_with_its_stage_for_the_report() -> None:
    model = imported("cnn_bn")
    FreezeParameters(update="last:1")(model)
    body, head, stem = 8 * 6 * 9 + 16, 8 * 5 + 5, 6 * 3 * 9 + 12
    summary = Update(parameters=stem + body + head, trained=body + head, stages=2, trained_stages=(2,))
    assert update_summary(model) == summary


@pytest.mark.parametrize(
    ("name", "update", "expected"),
    [
        ("cnn_bn", "bias", {"bn1.bias", "bn2.bias", *CLASSIFIER}),
        ("cnn_bn", "norm", {"bn1.bias", "bn1.scale", "bn2.bias", "bn2.scale", *CLASSIFIER}),
        ("cnn_bn", "last:1", {"body.weight", "bn2.scale", "bn2.bias", *CLASSIFIER}),
        ("cnn_folded", "bias", {"c1.bias", "c2.bias", *CLASSIFIER}),
        ("cnn_folded", "norm", CLASSIFIER),
        ("mlp", "last:1", {"fc2.weight", "fc2.bias"}),
        ("mlp_matmul", "last:1", {"w2", "b2"}),
        ("mlp_matmul", "bias", {"b1", "w2", "b2"}),
        ("channels_last", "bias", {"conv1.bias", "conv2.bias", "dense", "dense.bias"}),
    ],
)
def test_what_each_update_trains(name: str, update: str, expected: set[str]) -> None:
    model = imported(name)
    before = trained(model)
    run_twice(FreezeParameters(update=update), model)
    assert trained(model) == expected < before
    assert set(frozen_names(model)) == before - expected


@pytest.mark.parametrize(
    ("name", "norm", "biases"),
    [
        ("group_norm_fixed", ("1.weight", "1.bias"), {"0.bias", "3.bias"}),
        ("group_norm_21", ("scale", "shift"), set()),
        ("instance_norm_fixed", ("1.weight", "1.bias"), {"0.bias"}),
    ],
)
def test_a_norm_that_was_rewritten_is_a_norm_still(name: str, norm: tuple[str, str], biases: set[str]) -> None:
    """The importer writes these as Div, Mul and Add on reshaped parameters."""
    models = {update: imported(name) for update in ("norm", "bias")}
    for update, model in models.items():
        FreezeParameters(update=update)(model)
    head = trained(models["norm"]) - set(norm)
    assert trained(models["norm"]) == {*norm, *head}
    assert trained(models["bias"]) == {norm[1], *biases, *head}
    assert sorted(part.rpartition(".")[2] for part in head) == ["bias", "weight"]


def test_the_classifier_can_be_frozen_by_name() -> None:
    model = imported("cnn_bn")
    FreezeParameters(freeze=("fc.*",), update="last:1")(model)
    assert trained(model) == {"body.weight", "bn2.scale", "bn2.bias"}


def resnet(tmp_path: Path) -> ir.Model:
    path = tmp_path / "resnet.onnx"
    export(resnet18(width=2, classes=4), (3, 32, 32), path)
    model = ir.load(path)
    ImportForward()(model)
    return model


def test_the_stages_of_a_resnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stages = parameter_stages(resnet(tmp_path).graph)
    assert len(stages) == 20 + 2 * 20 + 2
    for name, stage in stages.items():
        part = name.split(".")
        expected = int(part[1]) if part[0] == "stages" else {"conv1": 0, "bn1": 0, "classifier": 3}[part[0]]
        assert stage == expected, name


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("mlp", 2),
        ("cnn_bn", 2),
        ("resnet", 2),
        ("mobilenet", 1),
        ("squeeze_excite_fixed", 1),
        ("conv_head", 1),
        ("shared_by_identity", 3),
    ],
)
def test_the_number_of_stages(name: str, number: int) -> None:
    stages = parameter_stages(imported(name).graph)
    assert sorted(set(stages.values())) == list(range(number))


def test_all_stages_are_everything() -> None:
    assert not FreezeParameters(update="last:2")(imported("cnn_bn")).modified


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update": "last:3"}, r"`update` last:3: the model has 2 stages; give last:1 to last:2"),
        ({"update": "last:2", "name": "mobilenet"}, r"`update` last:2: the model has 1 stage; give last:1$"),
        ({"freeze": ("boddy.weight",)}, r"`freeze` boddy.weight matches no parameter; near names: body.weight"),
        ({"freeze": ("*",)}, r"`freeze` \* freezes all 8 parameters: nothing is left to train"),
        (
            {"freeze": ("fc.*",), "update": "norm", "name": "cnn_folded"},
            r"`update` norm `freeze` fc.\* freezes all 6 parameters",
        ),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    given = dict(options)
    model = imported(str(given.pop("name", "cnn_bn")))
    before = ir.to_onnx_text(model, exclude_initializers=True)
    with pytest.raises(FieldError, match=f"^freeze_parameters: {message}") as caught:
        FreezeParameters(**given)(model)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert ir.to_onnx_text(model, exclude_initializers=True) == before
    assert not frozen_names(model)
