"""docs/learner.md is complete for writers of learners: it has every call, option, block, file and field."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from sparcl_compile.api.learner import Learner
from sparcl_compile.interface.values import APART, REPORTED
from sparcl_compile.program.build import KEPT, build
from sparcl_compile.runtime import tensor_files
from sparcl_compile.runtime.config import BATCH_SIZES, STEPS
from sparcl_compile.runtime.learner.course import CHUNK
from sparcl_compile.runtime.learner.opening import DEFAULTS
from sparcl_compile.runtime.progress import KEPT as PREFIX
from sparcl_compile.runtime.progress import Formula, Learning, Progress, Samples
from tests.support.programs import settings

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "learner.md").read_text(encoding="utf-8")
CALLS = PAGE.partition("## The calls")[2].partition("\n\n**Samples**")[0]
PROGRAM = PAGE.partition("## How a learner runs the program")[2].partition("\n## ")[0]
STATE = PAGE.partition("## The state")[2]


def public() -> list[str]:
    return [name for name in vars(Learner.__base__) | vars(Learner) if not name.startswith("_")]


@pytest.mark.parametrize("name", [name for name in public() if name not in ("artifact", "state", "export")])
def test_every_call(name: str) -> None:
    assert re.search(rf"`{name}\b", CALLS)


@pytest.mark.parametrize("call", ["open", "learn", "observe", "predict", "evaluate"])
def test_every_argument(call: str) -> None:
    told = next(line for line in CALLS.splitlines() if line.startswith(f"| `{call}("))
    for name in inspect.signature(getattr(Learner, call)).parameters:
        assert name in ("self", "clock") or re.search(rf"\b{name}\b", told), name


@pytest.mark.parametrize("block", ["close_task", *(name for name in APART if name not in ("class_order", "end_run"))])
def test_every_block_that_a_learner_calls(block: str) -> None:
    assert re.search(rf"`{block}`|call {block}\b", PROGRAM)
    assert block in build(settings(resizes=True)).blocks


@pytest.mark.parametrize(
    "value", [*(name for names in APART.values() for name in names), "probability", "best", "resized"]
)
def test_every_value_of_a_block(value: str) -> None:
    assert f"`{value}`" in PROGRAM


@pytest.mark.parametrize("name", REPORTED)
def test_every_result_of_the_report(name: str) -> None:
    assert f"`result.{name}`" in PROGRAM


@pytest.mark.parametrize(
    "name", [field.name for kind in (Progress, Samples, Learning, Formula) for field in dataclasses.fields(kind)]
)
def test_every_field_of_the_progress(name: str) -> None:
    assert re.search(rf"[`\"]{name}[`\"]", STATE)


@pytest.mark.parametrize("name", [*DEFAULTS, "artifact"])
def test_every_field_of_the_identity(name: str) -> None:
    assert f"`{name}`" in STATE


def test_the_form_of_the_files() -> None:
    assert f"`version` is `{tensor_files.VERSION}`" in STATE
    assert set(re.findall(r"`([FIU]\d+|BOOL)`", STATE)) == set(tensor_files.TYPES.values())
    assert f"`{PREFIX}NAME`" in STATE
    assert KEPT


def test_the_numbers() -> None:
    first, *others = BATCH_SIZES
    assert f"first of {first}, {', '.join(map(str, others))} with N * epochs >= {STEPS} * batch" in PROGRAM
    assert f"at most {CHUNK} rows at a time" in PROGRAM
