"""The contestants of the step benchmark: each is a function that makes a step.

What a contestant builds in its scratch folder it finds there again, and the libraries that build are imported where
they are used: a process that only runs the step holds nothing else (benchmarks/alone.py).
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.rivals import SPARSEPROP, channels_last, inductor, sparseprop
from sparcl_compile.interface.options import TARGET

if TYPE_CHECKING:
    import onnx
    import torch

Step = Callable[[], object]
CLASSES = 10
LEARNING_RATE = 0.03
IMAGE = (3, 32, 32)
RESNET = "resnet18"
WIDTH = 64
"""Channels of the first stage of the main rows' ResNet-18."""


@dataclasses.dataclass(frozen=True)
class Net:
    """A model of models/: the module and function that make it, other arguments, and the shape of a sample."""

    module: str
    function: str
    sample: tuple[int, ...]
    arguments: Mapping[str, int] = dataclasses.field(default_factory=dict)


NETS = {
    RESNET: Net("models.resnet", "resnet18", IMAGE),
    "depthwise": Net("models.small", "depthwise_cnn", IMAGE),
    "mlp": Net("models.small", "mlp", (1, 28, 28), {"pixels": 784}),
    "transformer": Net("models.transformer", "transformer", IMAGE),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One contestant.

    Attributes:
        name: in the table.
        make: makes the step from the setting, the batch size, the threads and a scratch folder.
        scheme: of the sparsity.
        sparsity: of the maskable weights.
        gradient_sparsity: of their gradients.
        net: the model, a key of ``NETS``.
        width: channels of the model's first stage, or units of its hidden layers.
        fold: whether a compiled model is folded.
        update: the trained part, as in ``--update``.
        gradient_scheme: the units that gradient masks choose.
        recompute: whether the compiled step recomputes cheap activations.
        compress: whether the kept weights alone are stored, and sparse kernels compute with them.
        method: of the compiled step; with separate batches of replay the gradients are stored between them.
        target: the runtime that the compiled step is for.
        activations: what the backward reads of the sparse kernels' activations is kept as this.
    """

    name: str
    make: "Callable[[Setting, int, int, Path], Step]"
    scheme: str = "dense"
    sparsity: float = 0.0
    gradient_sparsity: float = 0.0
    net: str = RESNET
    width: int = WIDTH
    fold: bool = True
    update: str = "all"
    gradient_scheme: str = "unstructured"
    recompute: bool = False
    compress: bool = False
    method: str = "finetune"
    target: str = TARGET
    activations: str = "f32"

    @property
    def model(self) -> str:
        """The model with its width."""
        return f"{self.net}-w{self.width}"


def batch_of(size: int, net: str = RESNET) -> tuple[np.ndarray, np.ndarray]:
    """Seeded images and labels."""
    rng = np.random.default_rng(0)
    shape = (size, *NETS[net].sample)
    return rng.normal(size=shape).astype(np.float32), rng.integers(0, CLASSES, size)


def module_of(width: int, net: str = RESNET) -> "torch.nn.Module":
    """The seeded model."""
    import torch

    of = NETS[net]
    make = getattr(importlib.import_module(of.module), of.function)
    torch.manual_seed(0)
    made: torch.nn.Module = make(width=width, classes=CLASSES, **of.arguments)
    return made


def export_to(setting: Setting, path: Path) -> None:
    """Write the seeded model as ONNX."""
    from models.export import export

    export(module_of(setting.width, setting.net), NETS[setting.net].sample, path)


def pytorch(setting: Setting, batch: int, threads: int, folder: Path) -> Step:
    """Dense eager PyTorch with torch.optim.SGD."""
    import torch

    torch.set_num_threads(threads)
    module = module_of(setting.width, setting.net).train()
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE)
    x, y = (torch.from_numpy(array) for array in batch_of(batch, setting.net))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()

    return step


def ort_dense(setting: Setting, batch: int, threads: int, folder: Path) -> Step:
    """ONNX Runtime's own training API on the dense model: its loss block, its gradient builder, its SGD."""
    import onnxruntime as ort
    from onnxruntime.training import api

    target = folder / setting.name
    if not target.exists():
        _build_ort_dense(setting, folder / f"{setting.name}.onnx", target)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    # As in runtime/session/sessions.py: the optimizer's threads would spin on the next training step's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    state = api.CheckpointState.load_checkpoint(target / "checkpoint")
    learner = api.Module(target / "training_model.onnx", state, session_options=options)
    optimizer = api.Optimizer(target / "optimizer_model.onnx", learner)
    optimizer.set_learning_rate(LEARNING_RATE)
    learner.train()
    x, y = batch_of(batch, setting.net)

    def step() -> None:
        learner(x, y)
        optimizer.step()
        learner.lazy_reset_grad()

    return step


def _build_ort_dense(setting: Setting, path: Path, target: Path) -> None:
    import onnx
    from onnxruntime.training import artifacts

    from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import silent_stderr

    export_to(setting, path)
    model = onnx.load(path)
    model.ir_version = 10
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            _to_training_form(node)
    statistics = [n for n in _initializers(model) if "running_" in n]
    weights = [n for n in _initializers(model) if n not in statistics]
    target.mkdir()
    with silent_stderr():
        artifacts.generate_artifacts(
            model,
            requires_grad=weights,
            frozen_params=statistics,
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=artifacts.OptimType.SGD,
            artifact_directory=target,
        )
    for file in ("training_model.onnx", "optimizer_model.onnx"):
        made = onnx.load(target / file)
        made.ir_version = 10
        onnx.save(made, target / file)


def _to_training_form(node: "onnx.NodeProto") -> None:
    import onnx

    others = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
    del node.attribute[:]
    node.attribute.extend([*others, onnx.helper.make_attribute("training_mode", 1)])
    node.output.extend([f"{node.name}.mean", f"{node.name}.var"])


def _initializers(model: "onnx.ModelProto") -> list[str]:
    import onnx

    return [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]


def compiled(setting: Setting, batch: int, threads: int, folder: Path) -> Step:
    """This tool's artifact: the block of its program that trains on a batch and moves the parameters."""
    from sparcl_compile.interface.artifact import load
    from sparcl_compile.runtime.data.tables import Table, Tables
    from sparcl_compile.runtime.driver.trainer import Trainer
    from sparcl_compile.runtime.session.engine import Engine, Sizes

    target = artifact_folder(setting, folder)
    if not target.exists():
        compile_to(setting, target)
    artifact = load(target)
    engine = Engine(artifact, threads, Sizes(dimensions={"samples": batch, "buffer": 1}))
    engine.reset_all()
    x, y = batch_of(batch, setting.net)
    trainer = Trainer(engine, artifact.manifest.program, Tables(Table(x, y, range(CLASSES))), {})
    weights = engine.run("batch", {"labels": y, "classes": np.arange(CLASSES)})
    current = {"x": x, "labels": y, "sample_id": np.arange(batch), **weights}
    trainer.set({f"current.{name}": value for name, value in current.items()})
    trainer.set({"learning_rate": LEARNING_RATE, "epochs": 1, "done": 0, "total": 1})
    if "choose_gradients" in artifact.manifest.program.blocks:
        trainer.call("choose_gradients")
    return lambda: trainer.call("move")


def artifact_folder(setting: Setting, folder: Path) -> Path:
    """The artifact folder of a compiled contestant."""
    return folder / f"{setting.name}.sparcl"


def compile_to(setting: Setting, target: Path) -> None:
    """Compile a contestant's model into its folder, beside which the model is written."""
    from sparcl_compile.compiling.compiler import compile_model
    from sparcl_compile.settings.options import CompileOptions

    path = target.with_suffix(".onnx")
    export_to(setting, path)
    options = CompileOptions(
        sparsity=setting.sparsity,
        gradient_sparsity=setting.gradient_sparsity,
        scheme="unstructured" if setting.scheme == "dense" else setting.scheme,
        fold=setting.fold,
        gradient_scheme=setting.gradient_scheme,
        update=setting.update,
        recompute=setting.recompute,
        compress=setting.compress,
        method=setting.method,
        replay_batches="separate",
        target=setting.target,
        activations=setting.activations,
    )
    compile_model(path, target, options)


OTHERS = {"narrow": (RESNET, 20), "depthwise": ("depthwise", 128), "mlp": ("mlp", 1024)}
"""Further models, by the prefix of their rows' names."""


def _of_other(prefix: str, net: str, width: int) -> tuple[Setting, ...]:
    """Dense, masked and compressed rows of a further model."""
    rows = (
        Setting("pytorch-dense", pytorch),
        Setting("ort-dense", ort_dense),
        Setting("masked-0.90", compiled, "unstructured", 0.90),
        Setting("compressed-0.90", compiled, "unstructured", 0.90, compress=True),
    )
    return tuple(dataclasses.replace(row, name=f"{prefix}-{row.name}", net=net, width=width) for row in rows)


SPARSITIES = (0.75, 0.90, 0.95)


def _fifth(sparsity: float) -> float:
    """The gradient sparsity, a share of all weights, at which a fifth of the kept weights is updated."""
    return round(1.0 - 0.2 * (1.0 - sparsity), 3)


CONTESTANTS = (
    Setting("pytorch-dense", pytorch),
    Setting("ort-dense", ort_dense),
    Setting("channels-last", channels_last),
    Setting("torch-compiled", inductor),
    *(
        Setting(f"sparseprop-{sparsity:.2f}", sparseprop, "unstructured", sparsity)
        for sparsity in SPARSITIES
        if SPARSEPROP
    ),
    Setting("compiled-dense", compiled),
    Setting("stored-gradients", compiled, method="der++"),
    Setting("recompute", compiled, recompute=True),
    Setting("masked-0.75", compiled, "unstructured", 0.75),
    Setting("masked-0.75-dgm", compiled, "unstructured", 0.75, 0.8),
    Setting("compressed-dense", compiled, compress=True),
    *(
        Setting(f"compressed-{sparsity:.2f}{'-dgm' if q else ''}", compiled, "unstructured", sparsity, q, compress=True)
        for sparsity in SPARSITIES
        for q in (0.0, 0.8)
        if q == 0.0 or q > sparsity
    ),
    # A fifth of the kept weights: from s = 0.8 on a fifth of all is more than are kept, and q = 0.8 masks no gradient.
    *(
        Setting(f"compressed-{sparsity:.2f}-fifth", compiled, "unstructured", sparsity, _fifth(sparsity), compress=True)
        for sparsity in SPARSITIES
    ),
    *(
        Setting(f"compressed-{sparsity:.2f}-{scheme}", compiled, scheme, sparsity, compress=True)
        for sparsity in SPARSITIES
        for scheme in ("block4x1", "kernel", "pattern")
    ),
    *(
        Setting(
            f"compressed-{sparsity:.2f}-bf16", compiled, "unstructured", sparsity, compress=True, activations="bf16"
        )
        for sparsity in SPARSITIES
    ),
    Setting("compressed-0.95-recompute", compiled, "unstructured", 0.95, compress=True, recompute=True),
    Setting(
        "compressed-0.95-bf16-recompute",
        compiled,
        "unstructured",
        0.95,
        compress=True,
        activations="bf16",
        recompute=True,
    ),
    Setting("channel-0.75-masked", compiled, "channel", 0.75, fold=False),
    Setting("channel-0.75", compiled, "channel", 0.75),
    Setting("channel-0.90", compiled, "channel", 0.90),
    Setting("channel-0.95", compiled, "channel", 0.95),
    Setting("gradient-channels", compiled, gradient_sparsity=0.8, gradient_scheme="channel"),
    Setting("update-last-1", compiled, update="last:1"),
    Setting("update-bias", compiled, update="bias"),
    Setting("update-norm", compiled, update="norm"),
    *(row for prefix, (net, width) in OTHERS.items() for row in _of_other(prefix, net, width)),
)

QUICK = ("pytorch-dense", "ort-dense", "compressed-0.75", "compressed-0.95")
"""The two extreme contestants, and their baselines."""

BASELINES = ("pytorch-dense", "ort-dense")
"""Suffixes of the names of a model's contestants that speeds are compared with."""
