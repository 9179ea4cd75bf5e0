"""Calls of a learner as a kit has them, and what they give: the same for a learner in every language (README.md).

A kit is a folder with samples and ``calls.json``; it has turns, each of which is a learner that is opened in the state
that the turn before has left. What a turn leaves on disk is judged from its files, whatever language wrote them.
"""

import copy
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import SparclError
from sparcl_compile.runtime.learner.learner import Learner
from sparcl_compile.runtime.learner.results import Learned, Step
from tests.conformance.kit import ARTIFACT, FOLDER, SAMPLES
from tests.conformance.trace import ENDED, differences

Turn = dict[str, Any]
LEARNER = "learner"
"""The kit's name."""
CALLS = "calls.json"
STATE = "state.safetensors"
REFUSED = {"refused": True}
PARTS = ("counters", "fired", "taken")
"""What is compared of the progress as it is."""
ALSO = ("classes", "classes_by_task", "type", "shape")
"""What is compared of the samples in it."""
KEPT = "value."


@dataclasses.dataclass(frozen=True)
class LearnerKit:
    """A folder with calls of a learner, whose artifact is that of another kit."""

    folder: Path = FOLDER / LEARNER

    @property
    def samples(self) -> Path:
        """The file of its samples."""
        return self.folder / SAMPLES

    @property
    def content(self) -> dict[str, Any]:
        """What is recorded."""
        found: dict[str, Any] = json.loads((self.folder / CALLS).read_text(encoding="utf-8"))
        return found

    def artifact_of(self, content: Mapping[str, Any]) -> Path:
        """The folder of the compiled model, which lies in the kit beside."""
        return self.folder.parent / str(content["artifact"]) / ARTIFACT


Play = Callable[[Turn, Path, Path, Path], list[Any]]
"""Plays a turn: opens a learner of an artifact in a state, makes calls with samples, returns what they gave."""


def played(kit: LearnerKit, state: Path, play: Play, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Let a learner make all calls of a kit; what it gives stands in the place of what is recorded."""
    made = copy.deepcopy(dict(content or kit.content))
    artifact = kit.artifact_of(made)
    for turn in made["turns"]:
        opened, *given = play(without_results(turn), artifact, state, kit.samples)
        turn["gives"] = opened
        for call, one in zip(turn["calls"], given, strict=False):
            call["gives"] = one
        turn["state"] = standing_on_disk(artifact, state)
    return made


def without_results(turn: Turn) -> Turn:
    """What a learner is told of a turn."""
    calls = [{name: value for name, value in call.items() if name != "gives"} for call in turn["calls"]]
    return {"open": turn["open"], "close": turn["close"], "calls": calls}


def found(made: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """A line for each place in which a learner's calls gave something else."""
    return list(differences(made, recorded))


def standing_on_disk(artifact: Path, state: Path) -> dict[str, Any]:
    """What a state has but for times and weights: files, counters, classes, and checksums of what must be exact."""
    names = sorted(re.sub("[0-9a-f]{16}", "HASH", path.name) for path in state.iterdir() if path.name != ".lock")
    if STATE not in names:
        return {"files": names}
    with safe_open(state / STATE, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        progress, identity = (json.loads(file.metadata()[name]) for name in ("progress", "identity"))
    learning = progress["learning"] and {n: v for n, v in progress["learning"].items() if n != "file"}
    kept = {name: array.tolist() for name, array in tensors.items() if name.startswith(KEPT)}
    parts = {**{name: progress[name] for name in PARTS}, **{name: progress["samples"][name] for name in ALSO}}
    rest = {"learning": learning, "identity": {n: v for n, v in identity.items() if n != "artifact"}}
    return {"files": names, **parts, **rest, "kept": kept, **_checksums(artifact, tensors)}


def _checksums(artifact: Path, tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """SHA-256 of the elements of state tensors, by name or by role, as in the trace of a run."""
    specs = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["state"]
    of_role = {name: [one["name"] for one in specs if name in (one["name"], one["role"])] for name in ENDED}
    return {
        name: hashlib.sha256(b"".join(tensors[one].tobytes() for one in own)).hexdigest()
        for name, own in of_role.items()
        if own and all(one in tensors for one in own)
    }


def in_python(turn: Turn, artifact: Path, state: Path, file: Path) -> list[Any]:
    """Play a turn in this process; a learner that is not closed leaves its state as a kill would."""
    samples = load_file(file)
    try:
        learner = Learner.open(load(artifact), state, threads=1, **turn["open"])
    except SparclError:
        return [REFUSED]
    try:
        return [_standing(learner), *[_given(learner, call, samples) for call in turn["calls"]]]
    finally:
        # Without a save, as behind a kill, only the lock goes.
        learner.close() if turn["close"] else learner._stack.close()


def _standing(learner: Learner) -> dict[str, Any]:
    names = ("classes", "tasks", "under_way", "waiting", "observed")
    told = {name: getattr(learner, name) for name in names}
    return {**told, "classes": list(told["classes"])}


def _given(learner: Learner, call: Mapping[str, Any], samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    try:
        gives = DO[call["do"]](learner, call, samples)
    except SparclError:
        gives = REFUSED
    return {**gives, "standing": _standing(learner)}


Given = Mapping[str, Any]


def _rows(call: Given, samples: Mapping[str, np.ndarray]) -> np.ndarray:
    return samples[call.get("of", "x")][call["rows"]]


def _budget(call: Given, made: list[list[float]]) -> dict[str, Any]:
    def told(step: Step) -> bool:
        made.append([step.task, step.epoch, step.epochs, step.done, step.total, step.loss, step.sparsity])
        return len(made) != call.get("cancel")

    return {**{name: call[name] for name in ("epochs", "steps", "seconds") if name in call}, "progress": told}


def _learn(learner: Learner, call: Given, samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    made: list[list[float]] = []
    given = (_rows(call, samples), call["labels"]) if "rows" in call else ()
    return _ended(learner.learn(*given, **_budget(call, made)), made)


def _observe(learner: Learner, call: Given, samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    made: list[list[float]] = []
    return _ended(learner.observe(_rows(call, samples)[0], call["labels"][0], **_budget(call, made)), made)


def _ended(ended: Learned, made: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {**dataclasses.asdict(ended), "made": made}


def _predict(learner: Learner, call: Given, samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    answers = learner.predict(_rows(call, samples), classes=call.get("classes"), task=call.get("task"))
    probabilities = answers.probabilities.astype(float).tolist()
    return {"names": list(answers.names), "classes": list(answers.classes), "probabilities": probabilities}


def _evaluate(learner: Learner, call: Given, samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    found = learner.evaluate(_rows(call, samples), call["labels"], classes=call.get("classes"))
    return {"accuracy": found.accuracy, "by_class": dict(found.by_class), "samples": found.samples}


def _report(learner: Learner, _: Given, __: Mapping[str, np.ndarray]) -> dict[str, Any]:
    told = dataclasses.asdict(learner.report())
    for name in ("seconds", "state_bytes", "process_bytes"):
        del told[name]
    return {**told, "classes": list(told["classes"]), "accuracy_by_class": dict(told["accuracy_by_class"])}


def _nothing(act: Callable[[Learner], None]) -> Callable[..., dict[str, Any]]:
    def made(learner: Learner, _: Given, __: Mapping[str, np.ndarray]) -> dict[str, Any]:
        act(learner)
        return {}

    return made


DO: Mapping[str, Callable[[Learner, Given, Mapping[str, np.ndarray]], dict[str, Any]]] = {
    "learn": _learn,
    "observe": _observe,
    "predict": _predict,
    "evaluate": _evaluate,
    "report": _report,
    "end_task": _nothing(Learner.end_task),
    "save": _nothing(Learner.save),
}
