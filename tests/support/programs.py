"""Programs and artifacts without a model, for tests of what a driver does with them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sparcl_compile.compiling.graph_specs import graph_specs
from sparcl_compile.compiling.side_graphs import SAMPLES, Graph
from sparcl_compile.graphs import standardise, statistics, sum_pixels, sum_squares
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.program import Program
from sparcl_compile.passes.emitting.emit import save
from sparcl_compile.program.build import Settings, build
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.methods import Replay
from tests.support import described


def settings(**changes: object) -> Settings:
    """The settings of fine-tuning without any sparsity, with changes."""
    plain: dict[str, object] = {
        "replay": Replay(),
        "merged": False,
        "one_gradient": False,
        "single_head": True,
        "mask_updates": (),
        "removals": (),
        "vectors": {},
        "refresh_steps": 0,
        "optimizer": True,
        "decays": False,
        "samples": ("sample_keep",),
        "measured": (),
        "learned": ("w",),
        "augment": "crop_flip",
    }
    return Settings(**{**plain, **changes})  # type: ignore[arg-type]


def made_up(folder: Path, graphs: Mapping[str, Graph], program: Program) -> Artifact:
    """An artifact of graphs that no model belongs to: its state is what they read."""
    for name, graph in graphs.items():
        for file, variant in (graph if isinstance(graph, dict) else {name: graph}).items():
            save(variant, folder / name / f"{file}.onnx")
    save_file({"none": np.zeros(0, np.float32)}, folder / "state.safetensors")
    specs, state = graph_specs(folder)
    return Artifact(folder, described.manifest(graphs=specs, state=tuple(state), program=program))


class Statistics:
    """Mean and deviation of samples [N, C, H, W], measured as a run does it: the block ``statistics``."""

    def __init__(self, folder: Path) -> None:
        graphs = {
            "sum_pixels": {name: sum_pixels.build(dtype) for name, dtype in SAMPLES.items()},
            "sum_squares": {name: sum_squares.build(dtype) for name, dtype in SAMPLES.items()},
            "statistics": {name: statistics.build(dtype) for name, dtype in SAMPLES.items()},
            "standardise": {name: standardise.build("NCHW", dtype) for name, dtype in SAMPLES.items()},
        }
        artifact = made_up(folder, graphs, build(settings()))
        self._engines = {name: Engine(artifact, 1, Sizes(name)) for name in SAMPLES}

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float32 [C] each, for ``(x / 255 - mean) / std``."""
        engine = self._engines[str(x.dtype)]
        engine.sizes.dimensions["C"] = x.shape[1]
        engine.reset(("data.mean", "data.std"))
        tables = Tables(Table(x, np.zeros(len(x), np.int64), (0,)))
        Trainer(engine, engine.manifest.program, tables, {}).call("statistics")
        return engine.array("data.mean"), engine.array("data.std")
