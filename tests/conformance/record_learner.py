"""Make the kit of the learner anew: ``python -m tests.conformance.record`` does it behind those of drivers."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.conformance.learning import CALLS, LEARNER, LearnerKit, Turn, in_python, played
from tests.conformance.record import CLASSES, samples, words

ARTIFACT_OF = "der"
"""The kit whose artifact is taken: DER++, weights and gradients masked, samples removed, uint8 images."""
NAMES = "abcd"
HOW = {"batch": 8, "learning_rate": 0.01}
"""What holds for one opening; the rate is below the artifact's own, so that roundings part no two runtimes."""
WIDE = (3, 1, 16, 12)
"""Images of another size."""


def rows(classes: str, first: int, count: int) -> dict[str, Any]:
    """Rows of the training samples, so many of each class from its first one, and their names."""
    places = [place for place in range(len(NAMES)) if NAMES[place] in classes]
    chosen = [CLASSES * number + place for number in range(first, first + count) for place in places]
    return {"rows": chosen, "labels": [NAMES[row % CLASSES] for row in chosen]}


def observed(classes: Iterable[str], first: int, **budget: Any) -> list[dict[str, Any]]:
    """Calls that observe a sample of each of these classes, one after the other."""
    return [{"do": "observe", **rows(name, first + n, 1), **budget} for n, name in enumerate(classes)]


def turn(*calls: dict[str, Any], close: bool = True, **options: Any) -> Turn:
    """A learner that is opened, makes calls, and is closed or killed."""
    return {"open": {**HOW, **options}, "close": close, "calls": list(calls)}


TESTED = rows("abcd", 20, 4)
TURNS = [
    turn(
        {"do": "predict", "rows": [0]},
        {"do": "report"},
        {"do": "learn", **rows("ab", 0, 12), "epochs": 3},
        {"do": "evaluate", **rows("ab", 20, 4)},
        {"do": "evaluate", **TESTED},
        seed=3,
        buffer=20,
    ),
    turn(
        {"do": "learn", **rows("bc", 10, 10), "epochs": 4, "steps": 3},
        {"do": "learn", **rows("d", 0, 8)},
        {"do": "predict", **rows("abc", 20, 4)},
        {"do": "save"},
    ),
    turn(
        {"do": "learn", "cancel": 3},
        {"do": "learn", "seconds": 1e6},
        {"do": "end_task"},
        *observed("dd", 0, steps=0),
        {"do": "observe", "rows": [0], "labels": ["e"]},
        {"do": "learn", "rows": [0, 1], "labels": ["a"]},
        {"do": "learn", "rows": [0], "labels": ["a"], "epochs": 0},
    ),
    turn(*observed("dabdcdabdbdacd", 2, steps=0), *observed("c", 17, epochs=3, steps=1), close=False),
    turn(
        *observed("a", 18, epochs=3, steps=1),
        *observed("b", 18, epochs=3, steps=5),
        {"do": "learn", "epochs": 1},
        {"do": "predict", "of": "wide", "rows": [0, 1, 2]},
        {"do": "predict", **rows("abcd", 20, 2), "classes": ["d", "a"]},
        {"do": "predict", **rows("abcd", 20, 2), "task": 1},
        {"do": "predict", **rows("a", 20, 2), "task": 9},
        {"do": "evaluate", **TESTED},
        {"do": "report"},
        seed=3,
    ),
    turn(seed=4),
    turn(buffer=21),
    turn(
        {"do": "learn", **rows("ad", 4, 8), "epochs": 2, "steps": 1},
        {"do": "end_task"},
        {"do": "learn", **rows("cd", 12, 6), "epochs": 1},
        {"do": "evaluate", **TESTED, "classes": ["a", "b", "c"]},
    ),
]


def record_learner(into: Path) -> LearnerKit:
    """Make the kit in a folder that has the one whose artifact is taken."""
    kit = LearnerKit(into / LEARNER)
    kit.folder.mkdir(exist_ok=True)
    wide = (words(int(np.prod(WIDE)), 200) % 256).astype(np.uint8).reshape(WIDE)
    save_file({"x": samples("uint8")["x_train"], "wide": wide}, kit.samples)
    with tempfile.TemporaryDirectory() as scratch:
        made = played(kit, Path(scratch, "state"), in_python, {"artifact": ARTIFACT_OF, "turns": TURNS})
    (kit.folder / CALLS).write_text(text(made), encoding="utf-8")
    return kit


def text(content: dict[str, Any]) -> str:
    """The text of a kit's file: a line for each call."""
    turns = [{**one, "calls": [json.dumps(call) for call in one["calls"]]} for one in content["turns"]]
    lines = []
    for one in turns:
        calls = ",\n    ".join(one["calls"])
        rest = ",\n   ".join(f"{json.dumps(name)}: {json.dumps(one[name])}" for name in one if name != "calls")
        lines.append(f"{{\n   {rest},\n   {json.dumps('calls')}: [\n    {calls}\n   ]\n  }}")
    return f'{{\n "artifact": {json.dumps(content["artifact"])},\n "turns": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
