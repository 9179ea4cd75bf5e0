"""ONNX Runtime's own check for mobile over every graph of artifacts: ``python -m benchmarks.usability ARTIFACT...``.

The check loads a graph, optimises it as the conversion to ORT format does, and says whether the accelerators of phones
(NNAPI, CoreML) are worth a try or the CPU is the place for it. It takes no library of custom operators: graphs that
need the kernel library are named and left out. Exit code 1 where it fails for another graph.
"""

import collections
import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import onnx
from onnxruntime.tools.mobile_helpers.usability_checker import analyze_model

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.onnx_runtime import failures

UNKNOWN_SHAPES = "to populate the shape information"
"""What the check asks for where a file tells the shape of no value between its nodes."""
CPU, TRY, KERNELS, FAILED = "CPU", "try NNAPI or CoreML", "needs kernels", "failed"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the check says of one file: where it should run, or why it cannot."""

    file: str
    advice: str
    reason: str = ""


def verdicts(artifact: Path) -> Iterator[Verdict]:
    """Check every graph of an artifact."""
    for graph in load(artifact).manifest.graphs.values():
        for file in [graph.file] if isinstance(graph.file, str) else graph.file.values():
            yield Verdict(file, KERNELS) if graph.kernels else verdict(artifact / file, file)


def verdict(path: Path, file: str) -> Verdict:
    """Check one file."""
    quiet = logging.getLogger("usability")
    quiet.setLevel(logging.ERROR)
    try:
        return Verdict(file, TRY if analyze_model(path, logger=quiet) else CPU)
    except (*failures(), ValueError, OSError) as error:
        if UNKNOWN_SHAPES in str(error) and not _has_inner_values(path):
            return Verdict(file, CPU, "has no values between its nodes, whose shapes the check asks for")
        return Verdict(file, FAILED, " ".join(str(error).split()))


def _has_inner_values(path: Path) -> bool:
    graph = onnx.load(path).graph
    return not {name for node in graph.node for name in node.output} <= {one.name for one in graph.output}


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(artifacts: tuple[Path, ...]) -> None:
    """Check artifacts; print the counts, and the graphs that are not for the CPU alone."""
    failed = False
    for artifact in artifacts:
        found = list(verdicts(artifact))
        counts = collections.Counter(one.advice for one in found)
        print(f"{artifact.name}: {', '.join(f'{advice} {count}' for advice, count in counts.items())}")
        for one in [one for one in found if one.advice != CPU]:
            print(f"  {one.advice}: {one.file} {one.reason}".rstrip())
        failed = failed or FAILED in counts
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
