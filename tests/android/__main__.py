"""`make test-android`: the artifacts' graphs and learning in ONNX Runtime's Android library (docs/portability.md).

Exit code 0 where everything keeps the promise, 1 where something does not, 2 where something is missing.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.android import phone
from tests.parity import rows, runs
from tests.parity.compare import graphs
from tests.parity.forms import FORMS, STEPS
from tests.parity.recorder import GRAPHS
from tests.parity.replayers import Replayer
from tests.parity.tape import RESULTS
from tests.runtime.kernels.arm64.machine import Unready

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/android"
STEPS_OF = {"x86_64": STEPS, "arm64": 20}
"""Steps by machine; an emulated one takes half a second for each."""


def learned(reference: runs.Reference, machine: str, runtime: Replayer) -> rows.Row:
    """One artifact on one machine, or why it cannot be."""
    row = rows.Row(reference.form, runtime.name, runtime.version)
    return runs.tried(row, lambda: runs.replayed(reference, runtime, STEPS_OF[machine], whole=False))


def bits(reference: runs.Reference, one: Replayer, other: Replayer) -> str:
    """A line on the graphs whose bits differ between the builds for Android and Linux of the same sources."""
    folders = [reference.folder / runtime.folder / GRAPHS for runtime in (one, other)]
    if not all((folder / f"{RESULTS}.tsv").exists() for folder in folders):
        return f"{reference.form}: {one.name} and {other.name} did not both run"
    found = [graph.graph for graph in graphs(*folders, told=reference.recorded / GRAPHS) if not graph.bits]
    return f"{reference.form}: {', '.join(found) or 'no graph'} has other bits on {one.name} than on {other.name}"


def main() -> int:
    """Prepare the machines, learn, and print."""
    phones = {machine: phone.android(machine, FOLDER) for machine in STEPS_OF}
    linux = phone.linux(FOLDER)
    found: list[rows.Row] = []
    lines: list[str] = []
    for reference in references():
        print(f"{reference.form} ...", file=sys.stderr, flush=True)
        found += [learned(reference, machine, runtime) for machine, runtime in phones.items()]
        found.append(learned(reference, "x86_64", linux))
        lines.append(bits(reference, phones["x86_64"], linux))
    rows.show(found)
    print(*lines, phone.NOT_SHOWN, sep="\n")
    ran = all(row.equal is not None for row in found)
    return 0 if ran and all(rows.fine(row, row.class_il or 0.0) for row in found) else 1


def references() -> Iterator[runs.Reference]:
    """The artifacts, with their runs on this machine."""
    for form in FORMS:
        yield runs.record(form, FOLDER / "artifacts")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unready as error:
        print(error, file=sys.stderr)
        sys.exit(2)
