"""What a run that is there already was learned under, beside what it would be learned under today."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sparcl_compile.interface.options import AUTO, Options
from sparcl_compile.settings.methods import loss_classes_of, settled
from sparcl_compile.settings.options import CompileOptions

Changed = Mapping[str, tuple[object, object]]
"""Options by name: what a run has, and what it would have today."""


def changed_defaults(stored: Mapping[str, object], today: CompileOptions) -> Changed:
    """The options of a run's result that a version of today would give another value.

    What the model is still to settle is not looked at.

    Args:
        stored: the options that the result tells; those that its version did not have yet are left out.
        today: the options that the grid gives the run.
    """
    now = _in_force(json.loads(json.dumps(dataclasses.asdict(today))))
    then = _in_force({**now, **stored})
    told = [name for name in now if now[name] != AUTO]
    return {name: (then[name], now[name]) for name in told if then[name] != now[name]}


def expected(options: CompileOptions, model: Path) -> CompileOptions:
    """The options with the way to replay that a model's file is going to settle, where its operators tell that.

    Parameters that do not train may fix the statistics of a BatchNormalization, and one may lie where no class depends
    on it, or in a function: only a compilation finds out.
    """
    certain = not options.freeze and options.update == "all" and _normalises_batches(model)
    return settled(options, shares_statistics=True) if certain else options


@functools.cache
def _normalises_batches(model: Path) -> bool:
    """Whether every output of a model depends on a BatchNormalization."""
    return all(_is_normalised(value) for value in ir.load(model).graph.outputs)


def _is_normalised(output: ir.Value) -> bool:
    open_values, seen = [output], set[ir.Node]()
    while open_values:
        node = open_values.pop().producer()
        if node is None or node in seen:
            continue
        if node.op_type == "BatchNormalization":
            return True
        seen.add(node)
        open_values += [value for value in node.inputs if value is not None]
    return False


def in_words(changed: Changed) -> str:
    """The options in words: ``--loss-classes all (today: balanced)``."""
    return ", ".join(f"--{name.replace('_', '-')} {was} (today: {now})" for name, (was, now) in changed.items())


def _in_force(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with the classes of the loss that a method has where none are named."""
    named = Options(method=options["method"], loss_classes=options["loss_classes"])
    return {**options, "loss_classes": loss_classes_of(named)}
