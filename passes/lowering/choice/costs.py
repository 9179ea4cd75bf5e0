"""Seconds of a masked layer's training step in its dense and in its sparse form, by a table of rates.

The time of a form is the sum over what is counted (``COUNTS``) of a rate times the count, on one thread. No rate is
negative and no count falls with the batch or with the places: more work is never cheaper.

The rates were fitted, by least squares of the relative errors, to the times of 1254 random layers with batches of 16 to
128 on one core of an AMD EPYC with AVX-512, with onnxruntime-training 1.19.2. A time is off by 15 % in the median; of
these layers, the form that the table calls the faster one took 1.4 % more than the really faster one in the mean (83
were called wrongly). ``python -m benchmarks.costs`` measures and fits again. On other machines it counts how the two
forms compare; ``--measure-kernels`` takes times of the very layers on the machine at hand.
"""

from collections.abc import Callable, Mapping

from sparcl_compile.interface.report import Times
from sparcl_compile.passes.lowering.choice.work import PRODUCT, Work

LANES = 16
"""Samples in a vector register; a batch that leaves one partly empty takes the time of a full one."""

POINTWISE, SPATIAL = "1x1 Conv", "Conv"


def _lanes(batch: int) -> int:
    return -(-batch // LANES) * LANES


def _of_three(work: Work) -> float:
    """The share of forward, input gradient and weight gradient that is computed."""
    return 1.0 if work.input_gradient else 2 / 3


def _of_two(work: Work) -> float:
    """The share of forward and input gradient that is computed."""
    return 1.0 if work.input_gradient else 1 / 2


Count = Callable[[Work, int], float]

COUNTS: Mapping[str, Count] = {
    "step": lambda work, batch: 1,
    "weights": lambda work, batch: work.weights,
    # Dense: of every image the columns are copied and multiplied with the weight.
    "images": lambda work, batch: batch,
    "inputs": lambda work, batch: batch * work.inputs,
    "outputs": lambda work, batch: batch * work.outputs,
    "columns": lambda work, batch: _of_three(work) * batch * work.pixels * work.taps,
    "products": lambda work, batch: _of_three(work) * batch * work.pixels * work.weights,
    "weights of images": lambda work, batch: batch * work.weights,
    # Sparse: the index is sorted by what a walk reads, the input is copied, and every place walks over the pixels.
    "rows": lambda work, batch: work.shape[0],
    "taps": lambda work, batch: work.taps,
    "places": lambda work, batch: work.places,
    "copied inputs": lambda work, batch: _lanes(batch) * work.inputs,
    "written outputs": lambda work, batch: _lanes(batch) * work.outputs,
    "kept products": lambda work, batch: _of_two(work) * _lanes(batch) * work.pixels * work.places,
    "updated products": lambda work, batch: _lanes(batch) * work.pixels * work.updated,
}
"""Counts of the operations of one step."""

DENSE: Mapping[str, Mapping[str, float]] = {
    SPATIAL: {
        "weights": 1.3,
        "images": 1160,
        "inputs": 1.94,
        "columns": 1.14,
        "products": 0.0696,
        "weights of images": 0.23,
    },
    POINTWISE: {
        "step": 11100,
        "images": 251,
        "inputs": 0.672,
        "outputs": 0.289,
        "products": 0.0599,
        "weights of images": 0.964,
    },
    PRODUCT: {"step": 6240, "weights": 0.721, "inputs": 0.0519, "outputs": 0.333, "products": 0.0712},
}
"""Nanoseconds by kind of layer."""

SPARSE: Mapping[str, Mapping[str, float]] = {
    SPATIAL: {
        "step": 4830,
        "rows": 294,
        "taps": 55,
        "places": 12.7,
        "copied inputs": 0.968,
        "written outputs": 0.759,
        "kept products": 0.0584,
        "updated products": 0.0372,
    },
    POINTWISE: {
        "step": 7390,
        "rows": 108,
        "taps": 185,
        "places": 5.35,
        "copied inputs": 0.504,
        "written outputs": 0.596,
        "kept products": 0.116,
        "updated products": 0.0431,
    },
    PRODUCT: {
        "step": 4330,
        "rows": 91.6,
        "taps": 128,
        "places": 11.3,
        "copied inputs": 0.795,
        "written outputs": 0.874,
        "kept products": 0.0795,
        "updated products": 0.0607,
    },
}
"""The same of the sparse form."""

BLOCKS = {"kept products": 0.80, "updated products": 0.75}
"""The share of a rate that blocks of output channels take, which share loads (docs/kernels.md, "What blocks give")."""

TRANSPOSE_STEP, TRANSPOSE = 2000, 0.8
"""Nanoseconds of one Transpose and of each of its elements, which come from memory and not from a cache."""

TAKEN_IN = {"Relu": 1.0, "Add": 0.3}
"""Nanoseconds an element that a normalisation saves, forward and backward, by taking in the operator behind it."""


def kind_of(work: Work) -> str:
    """The kind of a layer in the tables."""
    if work.kind == PRODUCT:
        return PRODUCT
    return POINTWISE if work.shape[2:] == (1, 1) else SPATIAL


def estimate(work: Work, batch: int) -> Times:
    """The seconds of a training step of one layer on ``batch`` samples, on one thread, without any transpose."""
    kind = kind_of(work)
    return Times(_seconds(DENSE[kind], work, batch), _seconds(_sparse_rates(kind, work), work, batch))


def _sparse_rates(kind: str, work: Work) -> Mapping[str, float]:
    # A gradient mask chooses single weights.
    shares = {name: BLOCKS[name] for name in BLOCKS if name == "kept products" or work.updated == work.places}
    return {name: rate * (shares.get(name, 1.0) if work.blocks else 1.0) for name, rate in SPARSE[kind].items()}


def _seconds(rates: Mapping[str, float], work: Work, batch: int) -> float:
    return 1e-9 * sum(rate * COUNTS[name](work, batch) for name, rate in rates.items())


def transpose_seconds(elements: int, tokens: int = 1) -> float:
    """The seconds of moving the batch of so many elements, on one thread; with tokens it takes two Transposes."""
    return 1e-9 * (2 if tokens > 1 else 1) * (TRANSPOSE_STEP + TRANSPOSE * elements)


def taken_in_seconds(op_type: str, elements: int) -> float:
    """The seconds that a normalisation saves by taking in an operator of so many elements; 0 where it takes in none."""
    return 1e-9 * TAKEN_IN.get(op_type, 0.0) * elements
