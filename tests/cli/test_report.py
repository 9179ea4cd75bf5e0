import dataclasses
import io
import json
import pathlib
from typing import Any

import pytest
from rich.console import Console, RenderableType

from sparcl_compile.cli import notes, report
from sparcl_compile.interface.channels import ChannelSpec, SpaceSpec, Stop
from sparcl_compile.interface.errors import WriteError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.options import Options
from sparcl_compile.interface.specs import DenseSpec, OptimizerSpec, WeightSpec
from sparcl_compile.runtime.reporting.report import console, result_table, write_json
from tests.support import described
from tests.support.described import trace, weight

PASSES = (
    trace("import_forward", modified=True),
    trace("insert_weight_masks", nodes_added={"Mul": 2}, ops_after={"Conv": 2, "Mul": 2}, modified=True),
    trace("prune_backward", nodes_removed={"Sum": 3, "Identity": 5}, macs_after=None, modified=True),
    trace("emit"),
)
LOG = described.report(*PASSES)
WEIGHTS = (weight("layer[1].w", (16, 8, 3, 3), 288, 230), weight("fc.w", (10, 16), 40, 32))
DENSE = (DenseSpec("stem.w", (8, 3, 3, 3), "first layer"),)
MODEL = dataclasses.replace(described.manifest().model, name="small", input_shape=(None, 3, 32, 32), classes=10)
MANIFEST = described.manifest(model=MODEL, weights=WEIGHTS, dense=DENSE)


def printed(renderable: RenderableType) -> list[str]:
    out = io.StringIO()
    report.console(out).print(renderable)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def cells(renderable: RenderableType) -> list[list[str]]:
    return [[cell for cell in line.split("  ") if cell.strip()] for line in printed(renderable)]


def words(line: list[str]) -> list[str]:
    return [cell.strip() for cell in line]


def test_passes_table() -> None:
    lines = [words(line) for line in cells(report.passes_table(PASSES))]
    assert lines[1:] == [
        ["pass", "ms", "nodes", "added", "removed", "parameters", "MFLOPs/sample", "changed"],
        ["import_forward", "12", "2", "0", "0", "12,345", "3.00", "order, values, types or notes"],
        ["insert_weight_masks", "12", "4", "+2", "0", "12,345", "3.00", "+2 Mul"],
        ["prune_backward", "12", "2", "0", "-8", "12,345", "-", "-5 Identity -3 Sum"],
        ["emit", "12", "2", "0", "0", "12,345", "3.00", "nothing"],
    ]


@pytest.mark.parametrize(
    ("factors", "end"),
    [
        ((), ""),
        ((1.0, 1.0), ""),
        ((4.998,), ", times 5 in masked layers"),
        ((1.25, 10.0, 4.0), ", times 1.25 to 10 in masked layers"),
    ],
)
def test_the_learning_rate_and_its_factors(factors: tuple[float, ...], end: str) -> None:
    weights = [weight(f"w{i}", (4, 4), 4, 4, rate=factor) for i, factor in enumerate(factors)]
    few = " (0.5 up to 5 epochs a task)"
    assert report.rate_line(OptimizerSpec("sgd", 0.3, 0.5, 5), weights) == f"Learning rate 0.3 with sgd{few}{end}"
    assert report.rate_line(OptimizerSpec("sgd", 0.3, 0.3, 5), weights) == f"Learning rate 0.3 with sgd{end}"


def test_the_learning_rate_says_where_limits_fall() -> None:
    optimizer = OptimizerSpec("sgd", 0.1, 0.1, 5, step_limit=0.2)
    end = "no step is larger than 0.2 of its layer's first norm"
    assert report.rate_line(optimizer, ()).endswith(end)
    assert report.rate_line(optimizer, (), falls=True).endswith(f"{end}, and of less where many of a task would be")


def test_many_changed_operators_are_cut() -> None:
    added = {"Add": 1, "Mul": 5, "Sub": 1, "Div": 2, "Exp": 1}
    assert report.change(trace("differentiate", nodes_added=added)) == "+5 Mul +2 Div +1 Add +1 Exp ..."


def test_sparsity_table_adds_up_and_keeps_names_with_brackets() -> None:
    lines = [words(line) for line in cells(report.sparsity_table(WEIGHTS, DENSE))]
    assert lines[2:] == [
        ["layer[1].w", "16x8x3x3", "288", "1,152", "25.0 %", "20.0 %"],
        ["fc.w", "10x16", "40", "160", "25.0 %", "20.0 %"],
        ["stem.w", "8x3x3x3", "216", "216", "100.0 %", "100.0 %", "first layer"],
        ["all", "544", "1,528", "35.6 %", "31.3 %"],
    ]


def test_a_line_says_what_is_kept_and_what_is_updated() -> None:
    masks = [weight("w", (10, 10), base=20, updated=20)]
    assert words(cells(report.sparsity_table(masks, []))[2]) == ["w", "10x10", "20", "100", "20.0 %", "20.0 %"]


def test_sparsity_table_without_weights() -> None:
    assert words(cells(report.sparsity_table([], []))[-1]) == ["all", "0", "0", "-", "-"]


def test_channels_table_gives_a_line_to_every_space_and_every_stop() -> None:
    space = SpaceSpec("conv.w", base=8, size=16, capacity=9, members=("conv.w", "next[0].w"))
    stops = (Stop("fc", "Gemm", "the classes", ("fc.w",)), Stop("next[1].w", "", "--dense", ("next[1].w", "other.w")))
    lines = printed(report.channels_table(ChannelSpec(True, (space,), {}, stops)))
    assert lines[2].split() == ["conv.w", "8", "16", "9", "conv.w,", "next[0].w"]
    assert lines[3] == "kept whole: fc.w because fc (Gemm): the classes"
    assert lines[4] == "kept whole: next[1].w, other.w because next[1].w: --dense"
    assert len(lines) == 5


def test_flops_table() -> None:
    lines = [words(line) for line in cells(report.flops_table(described.FLOPS))]
    assert lines[2:] == [
        ["forward", "3.00", "1.00", "33.3 %"],
        ["input gradient", "3.00", "1.00", "33.3 %"],
        ["weight gradient", "3.00", "0.25", "8.3 %"],
        ["training", "9.00", "2.25", "25.0 %"],
    ]


MASKED_LAYER = weight("w", (10, 10), 20, 20)


def spaces(*bases: tuple[int, int]) -> ChannelSpec:
    made = tuple(SpaceSpec(f"w{place}", size, base, base, ()) for place, (base, size) in enumerate(bases))
    return ChannelSpec(True, made, {}, ())


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (None, ""),
        (spaces(), ""),
        (spaces((2, 8), (1, 1)), ""),
        (spaces((2, 8), (1, 16)), "a single channel is left of 16 of w1, which lets hardly anything through; "),
        (spaces((1, 8), (1, 6), (1, 4), (1, 3)), "is left of 8 of w0, 6 of w1, 4 of w2, ..., which lets"),
    ],
)
def test_a_single_channel_is_said(channels: ChannelSpec | None, said: str) -> None:
    assert said in notes.units_line(channels)
    assert bool(said) == bool(notes.units_line(channels))


def test_every_note_is_marked_once_where_it_is_printed() -> None:
    manifest = dataclasses.replace(MANIFEST, channels=spaces((1, 16)))
    lines = printed(report.compile_report(manifest, dataclasses.replace(LOG, remarks=("another output",))))
    told = notes.notes(manifest, dataclasses.replace(LOG, remarks=("another output",)))
    assert [line[:22] for line in told] == ["another output", "a single channel is le"]
    assert [line for line in lines if line.startswith("note")] == [f"note: {line}" for line in told]


@pytest.mark.parametrize(
    ("weights", "dense", "options", "said"),
    [
        ([MASKED_LAYER], [], {}, "a class reads 20% of the features, and"),
        ([MASKED_LAYER], [], {}, "compare with --mask-policy rigl and a lower --sparsity"),
        ([MASKED_LAYER], [DenseSpec("v", (2, 2), "user")], {}, "the only layer that can have a mask"),
        ([MASKED_LAYER], [], {"mask_policy": "rigl"}, "RigL's, look for as it learns; compare with a lower --sparsity"),
        ([MASKED_LAYER], [], {"scheme": "pattern"}, "not known yet; compare with a lower --sparsity"),
        ([MASKED_LAYER], [], {"compress": True}, "compare with --mask-policy rigl and a lower --sparsity"),
        ([MASKED_LAYER], [DenseSpec("v", (2, 2), "classifier")], {}, ""),
        ([MASKED_LAYER, MASKED_LAYER], [], {}, ""),
        ([dataclasses.replace(MASKED_LAYER, base=100)], [], {}, ""),
        ([], [], {}, ""),
    ],
)
def test_that_the_classifier_alone_has_a_mask_is_said(
    weights: list[WeightSpec], dense: list[DenseSpec], options: dict[str, Any], said: str
) -> None:
    line = notes.alone_line(dataclasses.replace(MANIFEST.options, **options), weights, dense)
    assert said in line
    assert bool(said) == bool(line)


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([MASKED_LAYER, MASKED_LAYER], True),
        ([MASKED_LAYER, dataclasses.replace(MASKED_LAYER, stored="rows")], False),
        ([dataclasses.replace(MASKED_LAYER, scheme="channel")], False),
        ([dataclasses.replace(MASKED_LAYER, base=100)], False),
        ([], False),
    ],
)
def test_that_masks_alone_save_no_time_is_said_where_they_stand_alone(masks: list[WeightSpec], expected: bool) -> None:
    assert notes.masks_only(masks) is expected
    out = io.StringIO()
    found = dataclasses.replace(MANIFEST, weights=WEIGHTS if expected else ())
    report.console(out).print(report.compile_report(found, LOG))
    assert ("Masks alone save no time" in out.getvalue()) is expected


@pytest.mark.parametrize(
    ("chosen", "weights", "told"),
    [
        ({"sparsity": 0.0}, [MASKED_LAYER], True),
        ({"sparsity": 0.0}, [], False),
        ({"sparsity": 0.1}, [MASKED_LAYER], False),
        ({"sparsity": 0.0, "gradient_sparsity": 0.0}, [MASKED_LAYER], False),
        ({"sparsity": 0.0, "data_removal": 0.0}, [MASKED_LAYER], False),
    ],
)
def test_that_other_sparsities_stay_beside_dense_weights_is_told(
    chosen: dict[str, Any], weights: list[WeightSpec], told: bool
) -> None:
    line = notes.dense_line(Options(**chosen), weights)
    assert bool(line) == told
    assert line.endswith("--gradient-sparsity 0 --data-removal 0" if told else "")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "gradient sparsity 0.8 spares no weight that is kept at sparsity 0.8; give more than 0.8 "),
        ({"gradient_sparsity": 0.5}, "gradient sparsity 0.5 spares no weight that is kept at sparsity 0.8; give more "),
        ({"sparsity": 0.75}, ""),
        ({"gradient_sparsity": 0.0}, ""),
        ({"sparsity": 0.0, "gradient_sparsity": 0.0}, ""),
        ({"gradient_scheme": "channel", "gradient_sparsity": 0.5}, ""),
    ],
)
def test_a_gradient_sparsity_without_effect_is_told(chosen: dict[str, Any], expected: str) -> None:
    found = dataclasses.replace(MANIFEST, options=Options(**chosen))
    lines = [line for line in printed(report.compile_report(found, LOG)) if line.startswith("Gradient masks: none")]
    assert len(lines) == bool(expected)
    assert expected in "".join(lines)


def test_memory_table() -> None:
    found = [words(line) for line in cells(report.memory_table(described.MEMORY, layers=1))]
    assert found[0] == ["Training memory in MB, 32 samples at once (estimate)"]
    assert [line for line in found[1:] if line] == [
        ["activations and gradients at the peak", "3.00"],
        ["with --recompute", "2.00"],
        ["state: parameter", "1.50"],
        ["state: gradient", "1.50"],
        ["feeds and results", "0.25"],
        ["together", "6.25"],
        ["peak: no layer", "2.00"],
    ]


@pytest.mark.parametrize(
    ("shape", "classes", "expected"),
    [
        ((None, 1, 8, 8), 10, "--data digits --tasks 5 "),
        ((None, 64), 10, "--data digits --tasks 5 "),
        ((3, 32, 32), 10, "--data cifar10:PATH --tasks 5 "),
        ((None, 28, 28, 1), 9, "--data idx:DIR --tasks 3 "),
        ((None, 1, 8, 8), 2, "--data npz:FILE --tasks 2 "),
        ((None, 64), 9, "--data npz:FILE --tasks 3 "),
        ((None, 7), 7, "--data npz:FILE --tasks 2 "),
        ((None, 7), 1, "--data npz:FILE --tasks 1 "),
    ],
)
def test_next_command_fits_the_model(shape: tuple[int | None, ...], classes: int, expected: str) -> None:
    model = dataclasses.replace(MODEL, input_shape=shape, classes=classes)
    command = report.next_command(model, pathlib.Path("my model.sparcl"))
    assert command.startswith("sparcl-run 'my model.sparcl' ")
    assert expected in command


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (3, 64, 64)), ("NHWC", (96, 96, 1))])
def test_the_next_command_names_a_folder_of_photos_for_images(layout: Layout, shape: tuple[int, ...]) -> None:
    model = dataclasses.replace(MODEL, layout=layout, input_shape=shape, classes=4)
    assert "--data folder:DIR --tasks 2 " in report.next_command(model, pathlib.Path("m.sparcl"))


def test_the_next_command_names_no_pictures_for_tokens() -> None:
    model = dataclasses.replace(MODEL, input_shape=(64,), classes=10, input_type="int64", raw=True, rows=100)
    assert "--data npz:FILE" in report.next_command(model, pathlib.Path("m.sparcl"))


def test_report_ends_with_place_size_and_next_command(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / ("a" * 120) / ("b" * 120)
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(bytes(2000))
    out = io.StringIO()
    report.print_compile_report(report.console(out), MANIFEST, LOG, folder, lambda: 0.04)
    lines = out.getvalue().splitlines()
    assert lines[-2] == f"Compiled in 0.0 s to {folder} (2.0 kB)"
    assert lines[-1].startswith(f"Next: sparcl-run {folder} --data cifar10:PATH")
    assert any("prune_backward" in line for line in lines)


def test_without_a_terminal_there_is_neither_colour_nor_border_nor_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    out = io.StringIO()
    report.console(out).print(report.sparsity_table(WEIGHTS, DENSE))
    assert out.getvalue().isascii()
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 6


def test_narrow_terminal_folds_names_but_never_numbers() -> None:
    out = io.StringIO()
    Console(file=out, width=60, markup=False).print(report.sparsity_table(WEIGHTS, DENSE))
    assert "1,152" in out.getvalue()
    assert "100.0 %" in out.getvalue()


RESULT = {
    "class_il": 61.04,
    "task_il": 89.1,
    "accuracy_matrix": [[90.0], [70.0, 80.0], [60.0, 70.0, 80.5]],
    "forgetting": 20.0,
    "backward_transfer": -20.0,
    "sparsity": {"overall": 0.75, "layers": {"w": 0.75}},
    "gradient_sparsity": 0.8,
    "samples_seen": 123456,
    "samples_removed": 3000,
    "training_flops": {"paper": 2.5e15, "true": 4.1e15},
    "samples_per_second": 1234.56,
    "seed": 0,
    "versions": {"onnxruntime": "1.19.2"},
}


def test_result_table() -> None:
    lines = [words(line) for line in cells(result_table(RESULT)) if line]
    assert lines == [
        ["Class-incremental accuracy in %"],
        ["after task", "task 1", "task 2", "task 3", "mean"],
        ["1", "90.0", "90.0"],
        ["2", "70.0", "80.0", "75.0"],
        ["3", "60.0", "70.0", "80.5", "70.2"],
        ["Result"],
        ["class-incremental accuracy", "61.0 %"],
        ["task-incremental accuracy", "89.1 %"],
        ["forgetting", "20.0"],
        ["backward transfer", "-20.0"],
        ["weight sparsity, overall", "0.750"],
        ["gradient sparsity", "0.800"],
        ["samples seen", "123,456"],
        ["samples removed", "3,000"],
        ["training FLOPs, paper", "2.5e+15"],
        ["training FLOPs, true", "4.1e+15"],
        ["samples/s", "1,234.6"],
        ["seed", "0"],
    ]


def test_result_table_with_both_matrices_and_what_was_not_measured() -> None:
    result = {
        "accuracy_matrix": [[90.0, None], [50.0, 70.0]],
        "task_accuracy_matrix": [[90.0, float("nan")], [85.0, 95.0]],
    }
    lines = [words(line) for line in cells(result_table(result)) if line]
    assert lines == [
        ["Class-incremental accuracy in %"],
        ["after task", "task 1", "task 2", "mean"],
        ["1", "90.0", "90.0"],
        ["2", "50.0", "70.0", "60.0"],
        ["Task-incremental accuracy in %"],
        ["after task", "task 1", "task 2", "mean"],
        ["1", "90.0", "90.0"],
        ["2", "85.0", "95.0", "90.0"],
    ]


def test_result_table_of_an_empty_result() -> None:
    assert "".join(printed(result_table({}))) == ""


def test_result_as_json(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "result.json"
    write_json(path, RESULT | {"loss": float("nan"), "rows": [[1.5, float("inf")]]})
    assert json.loads(path.read_text()) == RESULT | {"loss": None, "rows": [[1.5, None]]}


def test_result_to_an_impossible_place(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WriteError, match=r"result\.json: cannot be written"):
        write_json(tmp_path / "file" / "result.json", RESULT)


def test_run_console_does_not_fold_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    console(out).print("[task 1] " + "loss " * 30)
    assert out.getvalue() == "[task 1] " + "loss " * 30 + "\n"


@pytest.mark.parametrize(("value", "shown"), [(-0.0, "+0.0"), (-0.04, "+0.0"), (-0.06, "-0.1"), (1.25, "+1.2")])
def test_nothing_is_not_shown_as_less_than_nothing(value: float, shown: str) -> None:
    lines = [words(line) for line in cells(result_table({"backward_transfer": value})) if line]
    assert lines == [["Result"], ["backward transfer", shown]]


@pytest.mark.parametrize(("replay", "told"), [("merged", True), ("separate", False)])
def test_merged_batches_are_told_with_what_takes_less_memory(replay: str, told: bool) -> None:
    out = io.StringIO()
    options = dataclasses.replace(MANIFEST.options, replay_batches=replay)
    report.console(out).print(report.compile_report(dataclasses.replace(MANIFEST, options=options), LOG))
    assert ("Replay: merged with the new samples" in out.getvalue()) is told
    assert ("--replay-batches separate keeps fewer activations at a time" in out.getvalue()) is told
