"""Whether a graph may write over its state in this ONNX Runtime: ``python -m tests.parity.written_over ARTIFACT...``.

A step that moves a weight writes ``W.next`` over ``W``. That every reader of ``W`` has run by then is said by edges of
the graph alone: where no edge of the computation says it, by a view whose shape waits
(``passes/updating/update_in_backward.py``). A later version of ONNX Runtime may learn to see through that view. So
each graph of an artifact that writes over its state is run twice by one session from the same inputs: with results in
memory of their own, and in the place of the state. Both have to give the same bits.

Prints the versions of ONNX Runtime and of Python, and a line for each result that differs. It needs what
``sparcl-run`` needs, and no compiler.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.specs import GraphSpec, InputSpec
from sparcl_compile.runtime.session.engine import device_copy
from sparcl_compile.runtime.session.sessions import open_session
from sparcl_compile.runtime.session.tensors import stored
from tests.parity.tape import Array

ROWS = 8
"""Samples of the batch, and the length of whatever else an artifact leaves open."""
GRAPH = "train"
"""The graph that moves the weights, where a step is one batch."""
RATE = 0.3
"""Of the size of all that is fed: weights that move too early change what follows by a lot."""


def differences(artifact: Path) -> Iterator[str]:
    """A line for each result of an artifact's training graph that writing over the state changes.

    Raises:
        ValueError: the graph writes over no weight, and so would show nothing.
    """
    loaded = load(artifact)
    spec = loaded.manifest.graphs[GRAPH]
    weights = {one.name for one in loaded.manifest.state if one.role is Role.PARAMETER}
    if not weights.intersection(spec.in_place):
        raise ValueError(f"{artifact}: {GRAPH} writes over no weight")
    session = open_session(loaded.path(GRAPH), 1, spec)
    state = dict(stored(artifact / loaded.manifest.state_file))
    given = {one.name: state[one.name] if one.name in state else fed(one) for one in spec.inputs}
    apart, over = (results(session, spec, given, in_place) for in_place in (False, True))
    for name, wanted in apart.items():
        if over[name].tobytes() != wanted.tobytes():
            largest = np.max(np.abs(over[name] - wanted))
            yield f"{artifact.name}: {name} differs by {largest:.1e} where it is written over the state"


def fed(one: InputSpec) -> Array:
    """Numbers for an input: of every size up to ``RATE``, all positive, as variances are; for integers zeros."""
    shape = [length if isinstance(length, int) else ROWS for length in one.shape]
    count = int(np.prod(shape))
    numbers = RATE * (1 + np.arange(count) * 37 % 64) / 64 if np.dtype(one.dtype).kind == "f" else np.zeros(count)
    return numbers.astype(one.dtype).reshape(shape)


def results(
    session: ort.InferenceSession, spec: GraphSpec, given: Mapping[str, Array], in_place: bool
) -> dict[str, Array]:
    """All results of a graph, by name."""
    binding = session.io_binding()
    values = {name: device_copy(array) for name, array in given.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for output in spec.outputs:
        state = spec.updates.get(output, "")
        if in_place and state in spec.in_place:
            binding.bind_ortvalue_output(output, values[state])
        else:
            binding.bind_output(output)
    session.run_with_iobinding(binding)
    return {name: np.array(value.numpy()) for name, value in zip(spec.outputs, binding.get_outputs(), strict=True)}


if __name__ == "__main__":
    print(ort.__version__, ".".join(map(str, sys.version_info[:3])))
    for folder in sys.argv[1:]:
        for line in differences(Path(folder)):
            print(line)
