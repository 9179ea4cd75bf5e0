"""The report of sparcl-export, as JSON-ready facts and as text."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal

from sparcl_compile.cli.report import passes_table, share, table
from sparcl_compile.exporting.facts import NUMBERS
from sparcl_compile.interface.codec import from_plain
from sparcl_compile.interface.report import PassTrace

UNKNOWN = "unknown: the run is of an older version; look at its --data and --normalise"


def print_facts(target: Console, found: Mapping[str, Any]) -> None:
    """Print the facts as tables, then what is never folded: a note, where the files lie, a command to go on with."""
    target.print(tables(found, [from_plain(PassTrace, one) for one in found["passes"]]))
    if found["note"]:
        target.print(f"note: {found['note']}", soft_wrap=True)
    for path, size in found["files"].items():
        target.print(f"Written to {path} ({decimal(size)})", soft_wrap=True)
    target.print(f"Next: {next_command(found)}", soft_wrap=True)


def tables(found: Mapping[str, Any], passes: Sequence[PassTrace]) -> RenderableType:
    """The log of the passes, the model before and after, and how it was checked.

    Three models are compared: the one given to sparcl-compile, the artifact's evaluation graph, the exported one.
    """
    stages = [found["given"], found["before"], found["after"]]
    rows = [
        (key.replace("_", " "), *(_number(stage[key]) for stage in stages), _share(stages[2][key], stages[0][key]))
        for key in NUMBERS
    ]
    sizes = table("Model", ("", ">given", ">artifact", ">exported", ">exported / given"), rows)
    return Group(passes_table(passes), "", sizes, "", table("Facts", ("", ""), _lines(found)), "")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(part: int | None, whole: int | None) -> str:
    return "-" if part is None or whole is None else share(part, whole)


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    check, shape = found["check"], found["input"]["shape"]
    yield "state", _state(found)
    yield "input", f"x {shape}, {found['input']['layout']}"
    yield from _preparation(found)
    yield "output", f"logits of {found['output']['classes']} classes"
    yield "removed channels", ", ".join(f"{space} {n}" for space, n in found["removed_channels"].items()) or "none"
    yield (
        "check",
        f"{check['samples']} random samples, logits differ by at most {check['deviation']:.1e} of the largest "
        f"(allowed {check['tolerance']:g})",
    )


def _state(found: Mapping[str, Any]) -> str:
    if "tasks_learned" not in found:
        return str(found["state"])
    return f"{found['state']}: {found['tasks_learned']} tasks and {found['epochs_of_the_next']} epochs of the next"


def _preparation(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The preparation of a sample for the model, which the model does not do itself."""
    if "samples" not in found:
        return
    samples = found["samples"]
    if samples is None:
        yield "normalisation", UNKNOWN
        return
    mean, std = (json.dumps([round(v, 6) for v in samples["normalise"][key]]) for key in ("mean", "std"))
    yield "normalisation", f"(x / {samples['normalise']['scale']:g} - mean) / std, mean {mean}, std {std}, a channel"
    yield "classes", ", ".join(samples["classes"])
    yield "learned in the order", json.dumps(samples["classes_by_task"])


def next_command(found: Mapping[str, Any]) -> str:
    """A command that works on the exported file."""
    return f"sparcl-inspect {shlex.quote(found['file'])}"
