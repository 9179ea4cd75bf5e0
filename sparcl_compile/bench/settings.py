"""The options that a grid may set, under the names that they have in the commands."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.schemes.names import sparsity_for
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.sources import HELD_OUT
from sparcl_compile.settings.options import CompileOptions

Tasks = int | tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command: the field that it sets, its type, and in words what it takes."""

    field: str
    kind: Any
    wanted: str

    @property
    def is_list(self) -> bool:
        """Whether a list is one value of it, and not several."""
        return self.kind in (tuple[str, ...], Tasks)


_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_WORDS |= {tuple[str, ...]: "a list of texts", Tasks: "a number of tasks, or a list with the classes of each"}


def _option(field: str, kind: Any) -> Option:
    plain = next((one for one in _WORDS if kind in (one, one | None)), kind)
    return Option(field, plain, _WORDS[plain])


FIELD = re.compile(r"`(\w+)`")
SEED = "seed"
COMPILE: Mapping[str, Option] = MappingProxyType(
    {
        name.replace("_", "-"): _option(name, kind)
        for name, kind in get_type_hints(CompileOptions).items()
        if name != SEED
    }
)
"""Every option of ``sparcl-compile`` that has a field of its own, but for the seed."""
RUN: Mapping[str, Option] = MappingProxyType(
    {
        "tasks": _option("tasks", Tasks),
        "epochs": _option("epochs", int),
        "batch-size": _option("batch_size", int),
        "buffer": _option("buffer_size", int),
        "class-order-seed": _option("class_order_seed", int),
        "augment": _option("augment", str),
        "normalise": _option("normalise", str),
    }
)
"""The options of ``sparcl-run`` that a grid may set beside the learning rate, ``lr``."""
RATE = "lr"
Values = Mapping[str, Any]
"""Values by the name of their option."""


def compile_options(values: Values, seed: int) -> CompileOptions:
    """The options of a compilation; raises FieldError for a value out of its range."""
    fields = {COMPILE[name].field: value for name, value in values.items()}
    defaults = CompileOptions()
    scheme = fields.get("scheme", defaults.scheme)
    sparsity = sparsity_for(scheme, fields.get("sparsity"), defaults.sparsity)
    return CompileOptions(**{**fields, "sparsity": sparsity, SEED: seed})


def run_config(values: Values, source: str, rate: float | None, seed: int, threads: int) -> RunConfig:
    """The options of a run; raises FieldError for a value out of its range."""
    fields = {RUN[name].field: value for name, value in values.items()}
    if isinstance(fields.get("tasks"), tuple):
        fields["task_classes"] = fields.pop("tasks")
    return RunConfig(data=source, learning_rate=rate, seed=seed, threads=threads, **fields)


def epochs_of(values: Values) -> int:
    """The epochs of a task."""
    return int(values.get("epochs", RunConfig.epochs))


_NAMES = {one.field: name for table in (COMPILE, RUN) for name, one in table.items()} | {"learning_rate": RATE}


def option_of(error: FieldError) -> str:
    """The name of the option whose value an error is about."""
    return _NAMES.get(error.field, error.field)


def named(message: str) -> str:
    """The message of an error, with the names of options in the place of the fields that it names in backquotes."""
    return FIELD.sub(lambda found: _NAMES.get(found[1], found[1]), message)


def absolute(source: str) -> str:
    """A data source whose path holds in every folder."""
    if source.startswith(HELD_OUT):
        return f"{HELD_OUT}{absolute(source.removeprefix(HELD_OUT))}"
    scheme, colon, path = source.partition(":")
    return f"{scheme}:{Path(path).expanduser().absolute()}" if colon else source
