"""Decides whether a command's end is a fault: everything but success and one line of refusal is."""

import dataclasses
import re
import traceback
from pathlib import Path

from tests.fuzz import learners
from tests.fuzz.targets import LEARNER, Case
from tests.support.cli import Outcome, call, contents

MARKS = ("Traceback", "please report")
RUN_LEAVES = re.compile(r"[^/]*\.run(/state(\.previous)?\.safetensors)?")
"""What a run may leave behind although it is refused: its last good epoch."""
STATE_LEAVES = re.compile(rf"{learners.STATE}(/(state|pending|samples-[0-9a-f]{{16}})\.safetensors)?")
"""What a learner may, where a call behind its opening is refused."""
LEAVES = {"run": RUN_LEAVES, LEARNER: STATE_LEAVES}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a case ended: the exit code, and its faults by kind with the text that shows each."""

    target: str
    code: int
    faults: dict[str, str]


def judged(case: Case, folder: Path, native: Path) -> Verdict:
    """Call a case's command and judge it.

    Args:
        case: the command.
        folder: its place.
        native: the file that libraries' own messages to stderr go to.
    """
    before = contents(folder)
    native.write_bytes(b"")
    try:
        outcome = learners.call(*case.args) if case.command == LEARNER else call(case.command, *case.args)
    except Exception as error:  # noqa: BLE001 - any kind of bug is what is looked for
        return Verdict(case.target, -1, {_kind(error): traceback.format_exc(limit=-6)})
    left = leftovers(case.command, outcome.code, before, contents(folder))
    noise = native.read_text(encoding="utf-8", errors="replace")
    return Verdict(case.target, outcome.code, faults_of(outcome, left, noise))


def _kind(error: Exception) -> str:
    """The error's type and the last of our functions that it passed."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "sparcl_compile" in frame.filename]
    last = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"


def faults_of(outcome: Outcome, left: list[str], noise: str = "") -> dict[str, str]:
    """The faults of an outcome by kind, empty where there is none.

    Args:
        outcome: of the command.
        left: the files that should not be there.
        noise: what a library has written to stderr past Python.
    """
    texts = (outcome.out, outcome.err, noise)
    found = {f"says {mark}": text for mark in MARKS for text in texts if mark in text}
    if outcome.code not in (0, 2):
        found[f"exit code {outcome.code}"] = outcome.err
    if outcome.code == 2 and not _is_one_line(outcome.err):
        found["a refusal is not one line"] = outcome.err
    if outcome.code == 2 and noise:
        found["a library writes to stderr"] = noise
    if left:
        found[f"leaves {'files' if outcome.code == 0 else 'half-written output'}"] = "\n".join(left)
    return found


def _is_one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and text.endswith("\n")


def leftovers(command: str, code: int, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The files that a command should not have left or changed; after success only those under hidden names."""
    new = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if code == 0:
        return [name for name in new if any(part.startswith(".") for part in Path(name).parts)]
    if command in LEAVES:
        return [name for name in new if not LEAVES[command].fullmatch(name)]
    return new
