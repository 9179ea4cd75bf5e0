"""What a run that is there already was learned under, beside what it would be learned under today."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from sparcl_compile.interface.options import Options
from sparcl_compile.settings.methods import loss_classes_of
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import AUTO

Changed = Mapping[str, tuple[object, object]]
"""Options by name: what a run has, and what it would have today."""


def changed_defaults(stored: Mapping[str, object], today: CompileOptions) -> Changed:
    """The options of a run's result that a version of today would give another value.

    A mask policy that suits the model is not looked at: that takes the model.

    Args:
        stored: the options that the result tells; those that its version did not have yet are left out.
        today: the options that the grid gives the run.
    """
    now = _in_force(json.loads(json.dumps(dataclasses.asdict(today))))
    then = _in_force({**now, **stored})
    told = [name for name in now if now[name] != AUTO]
    return {name: (then[name], now[name]) for name in told if then[name] != now[name]}


def in_words(changed: Changed) -> str:
    """The options in words: ``--loss-classes all (today: balanced)``."""
    return ", ".join(f"--{name.replace('_', '-')} {was} (today: {now})" for name, (was, now) in changed.items())


def _in_force(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with the classes of the loss that a method has where none are named."""
    named = Options(method=options["method"], loss_classes=options["loss_classes"])
    return {**options, "loss_classes": loss_classes_of(named)}
