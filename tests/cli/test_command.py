"""A complaint about fields becomes a line about options: to the letter what users have always read."""

from pathlib import Path

import click
import onnx
import pytest

from sparcl_compile.cli import compile_command
from sparcl_compile.cli.command import in_options
from sparcl_compile.interface.errors import (
    ArtifactError,
    CheckpointError,
    FieldError,
    ModelError,
    SparclError,
    TrainingError,
)
from tests.support.cli import call, check_refused, write_model
from tests.support.zoo import CLASSES, Net


@click.command()
@click.option("--gradient-sparsity", type=float)
@click.option("--lr", "learning_rate", type=float)
@click.option("--fold/--no-fold")
def made_up(**_: object) -> None:
    """A command with options of every kind."""


ERRORS: list[tuple[SparclError, str, str]] = [
    (
        FieldError("gradient_sparsity", 1.5, mend="give less"),
        "`gradient_sparsity` 1.5: give less",
        "--gradient-sparsity 1.5: give less",
    ),
    (
        FieldError("learning_rate", 0, "does not go with `fold`", "leave `fold` out"),
        "`learning_rate` 0: does not go with `fold`; leave `fold` out",
        "--lr 0: does not go with --fold; leave --fold out",
    ),
    (FieldError("fold", None, "is too much"), "`fold`: is too much", "--fold: is too much"),
    (
        FieldError("other", "a*", "matches nothing", joint=" "),
        "`other` a* matches nothing",
        "other a* matches nothing",
    ),
    (ArtifactError("field `fold` is missing"), "field `fold` is missing", "field `fold` is missing"),
    (TrainingError("lower `learning_rate`"), "lower `learning_rate`", "lower --lr"),
    (CheckpointError("leave `fold` out"), "leave `fold` out", "leave --fold out"),
    (ModelError("`fold` cannot be; `x` neither"), "`fold` cannot be; `x` neither", "--fold cannot be; x neither"),
]


@pytest.mark.parametrize(("error", "alone", "shown"), ERRORS)
def test_fields_become_the_options_that_the_command_has(error: SparclError, alone: str, shown: str) -> None:
    assert str(error) == alone
    assert in_options(error, made_up) == shown


def test_the_name_of_the_pass_is_for_those_who_call_it() -> None:
    error = FieldError("gradient_sparsity", 1.5, mend="give less")
    error.made_by = "insert_gradient_masks"
    assert str(error) == "insert_gradient_masks: `gradient_sparsity` 1.5: give less"
    assert in_options(error, made_up) == "--gradient-sparsity 1.5: give less"


def test_a_pass_that_cannot_be_is_the_option_that_asks_for_it() -> None:
    error = FieldError("", None, "the constant c differs", "leave the pass out")
    error.made_by = "fold_channels"
    assert str(error) == "fold_channels: the constant c differs; leave the pass out"
    assert in_options(error, compile_command) == "--fold: the constant c differs; give --no-fold"


def test_a_command_without_the_option_names_pass_and_field() -> None:
    error = FieldError("density", 1.5, mend="give less")
    error.made_by = "a_pass"
    assert in_options(error, made_up) == "a_pass: density 1.5: give less"
    alone = FieldError("", None, "cannot be", "leave the pass out")
    alone.made_by = "a_pass"
    assert in_options(alone, made_up) == "a_pass: cannot be; leave the pass out"


SHARE = "give a number from 0 (off) to below 1, for example"
LINES = {
    ("--sparsity", "1"): f"--sparsity 1.0: {SHARE} 0.8",
    ("--gradient-sparsity", "nan"): f"--gradient-sparsity nan: {SHARE} 0.8",
    ("--data-removal", "-1"): f"--data-removal -1.0: {SHARE} 0.8",
    ("--momentum", "1"): f"--momentum 1.0: {SHARE} 0.9",
    ("--momentum", "0.9", "--optimizer", "adamw"): "--momentum 0.9: is for sgd, adamw has its own; leave it out",
    ("--weight-decay", "-1"): "--weight-decay -1.0: give a number from 0, for example 0.0005",
    ("--classes", "1"): "--classes 1: a classifier needs at least 2 classes",
    ("--batch-size", "0"): "--batch-size 0: give a number from 1, for example 32",
    ("--seed", "-1"): "--seed -1: give a whole number from 0 to 4294967295",
    ("--update", "most"): "--update most: give one of all, bias, norm or last:K, for example last:1",
    ("--update", "last:3"): "--update last:3: the model has 2 stages; give last:1 to last:2",
    ("--freeze", "nothing*"): "--freeze nothing* matches no parameter; near names: ",
    ("--dense", "nothing*"): "--dense nothing* matches no weight; near names: ",
    ("--freeze", "*"): "--freeze * freezes all 8 parameters: nothing is left to train",
    ("--update", "norm", "--freeze", "fc.*", "--freeze", "bn*"): (
        "--update norm --freeze fc.* --freeze bn* freezes all 8 parameters: nothing is left to train"
    ),
    ("--scheme", "4:4"): "--scheme 4:4: N of M weights stay, so N must be below M; give for example 2:4",
    ("--scheme", "own"): (
        "--scheme own: give one of unstructured, channel, block4x1, kernel, pattern or N:M, for example 2:4"
    ),
    ("--scheme", "2:4", "--sparsity", "0.8"): ("--sparsity 0.8: does not go with --scheme 2:4; give 0.5"),
    ("--scheme", "2:4", "--distribution", "erk"): (
        "--distribution erk: --scheme 2:4 keeps the same share everywhere; give uniform"
    ),
    ("--scheme", "pattern", "--sparsity", "0.3"): (
        "--sparsity 0.3: --scheme pattern keeps at most 4 of 9 weights; give 0.5556 or more"
    ),
    ("--scheme", "channel", "--distribution", "erk"): (
        "--distribution erk: channels are shared between layers, so --scheme channel keeps the same share everywhere; "
        "leave it out"
    ),
    ("--scheme", "channel", "--dense", "*"): "--scheme channel: no channel can be removed: ",
    ("--gradient-scheme", "channel", "--gradient-sparsity", "0"): (
        "--gradient-scheme channel: chooses nothing with --gradient-sparsity 0; leave one out"
    ),
    ("--compress", "--scheme", "channel"): (
        "--compress: stores single weights, and --scheme channel computes on whole channels; leave one of the two out"
    ),
    ("--measure-kernels",): "--measure-kernels: chooses the layers of --compress; add that or leave this out",
}


@pytest.mark.parametrize("options", LINES, ids=" ".join)
def test_the_lines_that_users_read(options: tuple[str, ...], tmp_path: Path) -> None:
    refused = call("compile", write_model(tmp_path), *options)
    check_refused(refused)
    line = LINES[options]
    assert refused.err.startswith(f"error: {line}") if line.endswith(" ") else refused.err == f"error: {line}\n"


def test_a_head_that_cannot_be_replaced(tmp_path: Path) -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("Mul", net.weight("scale", CLASSES))
    onnx.save(net.model(), tmp_path / "model.onnx")
    check_refused(call("compile", tmp_path / "model.onnx", "--classes", "9"), ": --classes cannot replace the head\n")
