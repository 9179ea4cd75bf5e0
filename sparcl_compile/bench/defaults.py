"""What a run that is there already was learned under, beside what it would be learned under today."""

import dataclasses
import json
from collections.abc import Mapping

from sparcl_compile.settings.options import CompileOptions

Changed = Mapping[str, tuple[object, object]]
"""Options by name: what a run has, and what it would have today."""


def changed_defaults(stored: Mapping[str, object], today: CompileOptions) -> Changed:
    """The options of a run's result that a version of today would give another value.

    Args:
        stored: the options that the result tells; those that its version did not have yet are left out.
        today: the options that the grid gives the run.
    """
    now = json.loads(json.dumps(dataclasses.asdict(today)))
    return {name: (stored[name], now[name]) for name in now if name in stored and stored[name] != now[name]}


def told(changed: Changed) -> str:
    """The options in words: ``--loss-classes all (today: not given)``."""
    return ", ".join(
        f"--{name.replace('_', '-')} {_text(was)} (today: {_text(now)})" for name, (was, now) in changed.items()
    )


def _text(value: object) -> str:
    return "not given" if value is None else str(value)
