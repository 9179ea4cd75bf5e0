"""The manifest: everything that a driver has to know of an artifact (docs/interfaces.md)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from sparcl_compile.interface.channels import ChannelSpec
from sparcl_compile.interface.names import LONG_STEPS
from sparcl_compile.interface.options import Options
from sparcl_compile.interface.program import Program
from sparcl_compile.interface.specs import DenseSpec, GraphSpec, OptimizerSpec, StateSpec, WeightSpec

Format = Literal["sparcl-artifact"]
Version = Literal[2]
FORMAT: Format = get_args(Format)[0]
VERSION: Version = get_args(Version)[0]
Layout = Literal["NCHW", "NHWC", "flat", "NCT", "NTC", "NCDHW", "NDHWC"]
"""The axes of a model's input: images, vectors, sequences of T steps, volumes of D images."""
SERIES: tuple[Layout, ...] = ("NCT", "NTC")
"""The layouts of sequences."""

IMAGES: Mapping[Layout, tuple[int, int]] = {"NCHW": (1, 2), "NHWC": (0, 1)}
"""The layouts of images, and the axes of a sample that are its height and its width."""

InputType = Literal["float32", "float64", "float16", "bfloat16", "uint8", "int8", "uint16", "int16", "int32", "int64"]
"""The types of elements that the input of a user's model may have."""


def image_size(layout: Layout, sample: Sequence[int | None]) -> tuple[int, int] | None:
    """The height and the width of the images that a model takes; None where its input does not say them, or has none.

    Args:
        layout: of the input.
        sample: the shape of one sample in it.
    """
    axes = IMAGES.get(layout)
    if axes is None:
        return None
    height, width = (sample[axis] for axis in axes)
    return (height, width) if height and width else None


@dataclasses.dataclass(frozen=True)
class Model:
    """The model that was compiled.

    Attributes:
        name: of the file, without its ending.
        source: the file's name.
        source_sha256: the file's checksum.
        input_shape: of one sample, without the batch; None for a length that may vary.
        layout: how a sample lies in the input.
        classes: how many logits there are.
        output: the name in the file of the value that holds the class scores.
        parameters: elements of all parameters, frozen ones too.
        input_type: of the elements of the file's input, as NumPy calls it; the graphs take float32.
        raw: whether samples are fed as they are, since the model was made for such values.
        rows: how many rows the smallest table has that samples are places in (tokens); None where they are no places.
    """

    name: str
    source: str
    source_sha256: str
    input_shape: tuple[int | None, ...]
    layout: Layout
    classes: int
    output: str
    parameters: int
    input_type: InputType = "float32"
    raw: bool = False
    rows: int | None = None


@dataclasses.dataclass(frozen=True)
class Update:
    """The part of the model that trains.

    Attributes:
        parameters: elements of all parameters.
        trained: elements of those that train.
        stages: how many stages the model has; None where everything trains.
        trained_stages: those in which something trains, from 1; None where everything trains.
    """

    parameters: int
    trained: int
    stages: int | None
    trained_stages: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class Flops:
    """FLOPs of training on one sample: without any sparsity, and with masks, gradient masks and frozen parameters."""

    forward_dense: float
    forward_sparse: float
    input_gradient_dense: float
    input_gradient_sparse: float
    weight_gradient_dense: float
    weight_gradient_sparse: float
    training_dense: float
    training_sparse: float

    @property
    def parts(self) -> tuple[tuple[str, float, float], ...]:
        """The name, the dense and the sparse FLOPs of each part, at last of all together."""
        return (
            ("forward", self.forward_dense, self.forward_sparse),
            ("input gradient", self.input_gradient_dense, self.input_gradient_sparse),
            ("weight gradient", self.weight_gradient_dense, self.weight_gradient_sparse),
            ("training", self.training_dense, self.training_sparse),
        )


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A compiled artifact.

    Attributes:
        format: names the kind of file.
        version: of this contract.
        target: what the graphs were compiled for.
        made_by: versions of the programs that made it, by name.
        model: the model that was compiled.
        options: what it was compiled with.
        program: the loop, for a driver to interpret.
        optimizer: its name and learning rate.
        weights: the masked weights in the order of their layers.
        dense: the weights without a mask.
        channels: the channel masks, under scheme ``channel`` only.
        update: the part of the model that trains.
        flops: FLOPs of training on one sample.
        graphs: by name.
        state: every state tensor.
        state_file: the path of the file with the first values.
        files: the SHA-256 of every file of the artifact, by path.
    """

    format: Format
    version: Version
    target: str
    made_by: Mapping[str, str]
    model: Model
    options: Options
    program: Program
    optimizer: OptimizerSpec
    weights: tuple[WeightSpec, ...]
    dense: tuple[DenseSpec, ...]
    channels: ChannelSpec | None
    update: Update
    flops: Flops
    graphs: Mapping[str, GraphSpec]
    state: tuple[StateSpec, ...]
    state_file: str
    files: Mapping[str, str]

    @property
    def kernels(self) -> bool:
        """Whether a graph needs the kernel library."""
        return any(graph.kernels for graph in self.graphs.values())

    @property
    def limits_fall(self) -> bool:
        """Whether the largest steps of parameters fall within a task (docs/algorithm.md, Largest steps)."""
        return any(one.name.endswith(LONG_STEPS) for one in self.state)
