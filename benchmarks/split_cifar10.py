"""Split CIFAR-10, small protocol: ResNet-18 of width 20, 5 epochs a task, DER++ with a buffer of 200, SGD 0.03.

``python -m benchmarks.split_cifar10 PATH`` (PATH as in ``--data cifar10:PATH``) runs every setting and seed through the
real commands, one thread a run, several runs side by side. A dense run takes about an hour on one core, a sparse one
with compressed weights (the same training, docs/kernels.md) less than half of that. The result of every finished run is
a file in benchmarks/results/split_cifar10, kept with the sources: the command makes what is missing and prints the
table of all. A run that was stopped resumes from build/split_cifar10.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from models.export import MODELS, build, export

FOLDER = Path("build/split_cifar10")
RESULTS = Path(__file__).parent / "results" / "split_cifar10"
WIDTH = 20
CLASSES = 10
DER = "--logit-weight 0.1 --label-weight 0.5"
"""DER++'s own weights for these data and this buffer."""
OLD = f"{DER} --rate-decay 0 --loss-classes all --replay-batches separate"
OFF = f"{OLD} --sparsity 0 --gradient-sparsity 0 --data-removal 0 --compress"
MASKED = f"{OLD} --scaling none --sparsity 0.75 --gradient-sparsity 0 --data-removal 0 --recipe"
FULL = f"{OLD} --scaling none --sparsity 0.75 --gradient-sparsity 0.8 --data-removal 0.3 --compress --recipe"
SCHEMES = ("block4x1", "kernel", "pattern", "4:16")

SETTINGS: Mapping[str, str] = {
    "dense": f"{OFF} --recipe reference-code",
    "dense, task's classes": f"{OFF} --recipe reference-code --loss-classes task",
    "TDM": f"{MASKED} reference-code --compress",
    "TDM+DGM+DDR": f"{FULL} reference-code",
    "TDM, merged": f"{MASKED} reference-code --compress --replay-batches merged",
    "TDM, paper": f"{MASKED} paper --compress",
    "TDM+DGM+DDR, paper": f"{FULL} paper",
    **{f"TDM, {scheme}": f"{MASKED} reference-code --compress --scheme {scheme}" for scheme in SCHEMES},
    "TDM, channel": f"{MASKED} reference-code --scheme channel",
}
"""The options of sparcl-compile, by name in the table."""


def slug(setting: str, seed: int) -> str:
    """The name of a run's files."""
    return f"{''.join(c if c.isalnum() else '_' for c in setting)}_{seed}"


def tool(name: str, *arguments: str | Path) -> None:
    """Run one of the console scripts of this interpreter's environment."""
    subprocess.run([Path(sys.executable).with_name(name), *arguments], check=True, stdout=subprocess.DEVNULL)


def learn(setting: str, seed: int, data: Path) -> None:
    """Compile and run one setting, or resume it, or leave it when its result is there."""
    result, work = RESULTS / f"{slug(setting, seed)}.json", FOLDER / slug(setting, seed)
    if result.exists():
        return
    model, artifact = FOLDER / f"resnet18_{seed}.onnx", work.with_suffix(".sparcl")
    if not artifact.exists():
        tool("sparcl-compile", model, "-o", artifact, *SETTINGS[setting].split())
    state = work.with_suffix(".run")
    resume = ["--resume"] if (state / "state.safetensors").exists() else []
    run = ["--tasks", "5", "--epochs", "5", "--batch-size", "32", "--buffer", "200", "--lr", "0.03"]
    made = work.with_suffix(".json")
    place = ["--checkpoint", state, "--json", made, "--threads", "1", "--seed", str(seed)]
    tool("sparcl-run", artifact, "--data", f"cifar10:{data}", *run, *place, *resume)
    keep(json.loads(made.read_text(encoding="utf-8")), result)


def keep(run: dict[str, Any], result: Path) -> None:
    """Write a result among the sources, without the path of the data."""
    run["config"]["data"] = "cifar10"
    result.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def table(seeds: int) -> Table:
    """Mean over the seeds that are done, with each seed's value."""
    made = Table("setting", "class-IL %", "task-IL %", "by seed", "training PFLOPs (true)", box=None)
    for setting in SETTINGS:
        files = [RESULTS / f"{slug(setting, seed)}.json" for seed in range(seeds)]
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
        made.add_row(setting, *_cells(runs))
    return made


def _cells(runs: Sequence[Mapping[str, object]]) -> list[str]:
    if not runs:
        return ["-"] * 4
    class_il, task_il = ([float(str(run[key])) for run in runs] for key in ("class_il", "task_il"))
    flops = [run["training_flops"]["true_sparse"] for run in runs]  # type: ignore[index]
    by_seed = ", ".join(f"{c:.1f}/{t:.1f}" for c, t in zip(class_il, task_il, strict=True))
    return [f"{np.mean(class_il):.1f}", f"{np.mean(task_il):.1f}", by_seed, f"{np.mean(flops) / 1e15:.3f}"]


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--seeds", default=2, show_default=True, help="Seeds, from 0.")
@click.option("--jobs", default=2, show_default=True, help="Runs side by side.")
@click.option("--only", multiple=True, type=click.Choice(list(SETTINGS)), help="Settings to run; all without it.")
def main(data: Path, seeds: int, jobs: int, only: tuple[str, ...]) -> None:
    """Run the grid, or what is left of it, and print the table."""
    for folder in (FOLDER, RESULTS):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        model = FOLDER / f"resnet18_{seed}.onnx"
        if not model.exists():
            export(build("resnet18", WIDTH, CLASSES, seed), MODELS["resnet18"][1], model)
    with ThreadPoolExecutor(jobs) as pool:
        grid = [(setting, seed) for seed in range(seeds) for setting in only or SETTINGS]
        for _ in pool.map(lambda cell: learn(*cell, data), grid):
            Console().print(table(seeds))


if __name__ == "__main__":
    main()
