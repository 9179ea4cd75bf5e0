"""What is mutated for which command: a table, and a case of it for every seed and number."""

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sparcl_compile.interface.files import sha256
from tests.fuzz import learners
from tests.fuzz.material import ARTIFACTS, OPTED, pick, seal
from tests.fuzz.models import mutated_model
from tests.fuzz.tensors import NPZ_DTYPES, mutate_arrays, read, sealed
from tests.fuzz.values import mutate_json, mutated_bytes
from tests.support.cli import SMALL_RUN

COMPILE_OPTIONS: tuple[tuple[str, ...], ...] = (
    *((), (), ("--scheme", "channel", "--sparsity", "0.5"), ("--update", "last:1"), ("--check-passes",)),
    *(("--optimizer", "adamw", "--method", "er"), ("--compress",), ("--method", "finetune", "--no-fold")),
)
INSPECT_OPTIONS: tuple[tuple[str, ...], ...] = (
    *((), ("--json",), ("--after", "insert_weight_masks"), ("--after", "emitting")),
    *(("--diff", "import_forward", "attach_loss"), ("--diff", "importing", "emitting", "--json")),
)
PASSES = (
    *(
        *OPTED.values(),
        "attach_loss",
        "attach_loss,save_batch_statistics,differentiate",
        "insert_weight_masks",
        "fold_channels",
    ),
    *("import_forward,mark_dense_weights,freeze_parameters{update=last:1},insert_weight_masks", "emit"),
    *("attach_optimizer", "prune_backward,keep_relu_masks,order_backward", "recompute_activations", "compress_weights"),
    *("import_forward,insert_weight_masks{scheme=channel},fold_channels,attach_loss",),
)
EXPORT_OPTIONS: tuple[tuple[str, ...], ...] = ((), ("--json",), ("--batch", "2"), ("--ort-format",))

Args = list[str]
Prepare = Callable[[Path, Path, Random], Args]
"""Fills a case's folder from the sound material and gives the command's arguments."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A command and what is mutated for it."""

    command: str
    prepare: Prepare


@dataclasses.dataclass(frozen=True)
class Case:
    """A command to call in a folder that is ready for it."""

    target: str
    command: str
    args: Args


def _model(source: Path, path: Path, rng: Random) -> None:
    """A mutated copy of a model: mostly by its parts, which gets further into a command than noise."""
    change = mutated_bytes if rng.random() < 0.25 else mutated_model
    path.write_bytes(change(source.read_bytes(), rng))


def _compile_model(sound: Path, folder: Path, rng: Random) -> Args:
    _model(pick(sound / "models", rng), folder / "model.onnx", rng)
    return [f"{folder}/model.onnx", *rng.choice(COMPILE_OPTIONS)]


def _inspect_model(sound: Path, folder: Path, rng: Random) -> Args:
    _model(pick(sound / rng.choice(("models", "opted")), rng), folder / "model.onnx", rng)
    return [f"{folder}/model.onnx", *rng.choice(INSPECT_OPTIONS)]


def _opt_model(sound: Path, folder: Path, rng: Random) -> Args:
    _model(pick(sound / rng.choice(("models", "opted", "opted")), rng), folder / "model.onnx", rng)
    place = rng.choice(((), ("-o", f"{folder}/out.onnx")))
    return [f"{folder}/model.onnx", "-p", rng.choice(PASSES), *place]


def _copied(sound: Path, folder: Path, rng: Random) -> tuple[str, Path]:
    """The name of an artifact and a copy of it."""
    name = rng.choice(sorted(ARTIFACTS))
    return name, Path(shutil.copytree(sound / f"{name}.sparcl", folder / "a.sparcl"))


def _change_manifest(artifact: Path, rng: Random) -> None:
    path = artifact / rng.choice(("manifest.json", "manifest.json", "manifest.json", "report.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    mutate_json(content, rng)
    path.write_text(json.dumps(content), encoding="utf-8")
    seal(artifact)


def _change_file(artifact: Path, rng: Random) -> None:
    """Other content of a graph or of the state, mostly with right checksums: who writes an artifact can do that."""
    path = pick(artifact, rng)
    by_parts = path.suffix == ".onnx" and rng.random() < 0.8
    path.write_bytes((mutated_model if by_parts else mutated_bytes)(path.read_bytes(), rng))
    if rng.random() < 0.9:
        _seal_files(artifact, path)


def _seal_files(artifact: Path, path: Path) -> None:
    if path.name.startswith("manifest."):
        return
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    name = path.relative_to(artifact).as_posix()
    if name in manifest["files"]:
        manifest["files"][name] = sha256(path)
    (artifact / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    seal(artifact)


def _inspect(change: Callable[[Path, Random], None]) -> Prepare:
    def prepare(sound: Path, folder: Path, rng: Random) -> Args:
        _, artifact = _copied(sound, folder, rng)
        change(artifact, rng)
        return [str(artifact), *rng.choice(INSPECT_OPTIONS)]

    return prepare


def _run(change: Callable[[Path, Random], None]) -> Prepare:
    def prepare(sound: Path, folder: Path, rng: Random) -> Args:
        name, artifact = _copied(sound, folder, rng)
        change(artifact, rng)
        return _run_args(artifact, f"npz:{sound}/{name}.npz")

    return prepare


def _run_args(artifact: Path, data: str) -> Args:
    return [str(artifact), "--data", data, *SMALL_RUN, "--json", f"{artifact.parent}/result.json"]


def _export(change: Callable[[Path, Random], None]) -> Prepare:
    def prepare(sound: Path, folder: Path, rng: Random) -> Args:
        _, artifact = _copied(sound, folder, rng)
        change(artifact, rng)
        return [str(artifact), "--initial", *rng.choice(EXPORT_OPTIONS)]

    return prepare


def _change_checkpoint(path: Path, rng: Random) -> None:
    """Bytes, or tensors and texts with a right checksum, as anyone can write them."""
    if rng.random() < 0.25:
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        return
    tensors, texts = read(path)
    if rng.random() < 0.5:
        mutate_arrays(tensors, rng)
    else:
        _change_texts(texts, rng)
    path.write_bytes(sealed(tensors, texts))


def _change_texts(texts: dict[str, str], rng: Random) -> None:
    names = tuple(name for name in ("progress", "identity", "names", "first") if name in texts)
    content: dict[str, Any] = {name: json.loads(texts.pop(name)) for name in names}
    mutate_json(content, rng)
    texts.update({str(key).replace("\0", "0"): json.dumps(value) for key, value in content.items()})


def _with_run(sound: Path, folder: Path, rng: Random) -> tuple[str, Path]:
    name, artifact = _copied(sound, folder, rng)
    shutil.copytree(sound / f"{name}.run", folder / "a.run")
    _change_checkpoint(folder / "a.run" / "state.safetensors", rng)
    return name, artifact


def _run_checkpoint(sound: Path, folder: Path, rng: Random) -> Args:
    name, artifact = _with_run(sound, folder, rng)
    return [*_run_args(artifact, f"npz:{sound}/{name}.npz"), *rng.choice((["--resume"], ["--resume"], []))]


def _export_checkpoint(sound: Path, folder: Path, rng: Random) -> Args:
    _, artifact = _with_run(sound, folder, rng)
    return [str(artifact), *rng.choice(EXPORT_OPTIONS)]


def _change_npz(source: Path, path: Path, rng: Random) -> None:
    if rng.random() < 0.25:
        path.write_bytes(mutated_bytes(source.read_bytes(), rng))
        return
    with np.load(source) as found:
        made = dict(found)
    mutate_arrays(made, rng)
    if made and rng.random() < 0.2:
        name = rng.choice(sorted(made))
        made[name] = made[name].astype(rng.choice(NPZ_DTYPES))
    with path.open("wb") as file:
        np.savez(file, **{name or "empty": array for name, array in made.items()})


def _run_npz(sound: Path, folder: Path, rng: Random) -> Args:
    name, artifact = _copied(sound, folder, rng)
    _change_npz(sound / f"{name}.npz", folder / "data.npz", rng)
    return _run_args(artifact, f"npz:{folder}/data.npz")


def _run_folder(scheme: str, model: str) -> Prepare:
    def prepare(sound: Path, folder: Path, rng: Random) -> Args:
        artifact = Path(shutil.copytree(sound / f"{model}.sparcl", folder / "a.sparcl"))
        data = Path(shutil.copytree(sound / scheme, folder / scheme))
        for _ in range(rng.choice((1, 1, 3))):
            path = pick(data, rng)
            path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        return _run_args(artifact, f"{scheme}:{data}")

    return prepare


LEARNER = "learner"
"""Stands for a command: a learner that is opened and used (learners.py)."""


def _learner_args(folder: Path, data: Path) -> Args:
    return [f"{folder}/a.sparcl", f"{folder}/{learners.STATE}", str(data)]


def _learner_artifact(sound: Path, folder: Path, rng: Random) -> Args:
    name, artifact = _copied(sound, folder, rng)
    rng.choice((_change_manifest, _change_file))(artifact, rng)
    return _learner_args(folder, sound / f"{name}.npz")


def _learner_state(pattern: str) -> Prepare:
    """A learner with a state, one of whose files of this pattern is changed."""

    def prepare(sound: Path, folder: Path, rng: Random) -> Args:
        name, _ = _copied(sound, folder, rng)
        state = Path(shutil.copytree(sound / f"{name}.{learners.STATE}", folder / learners.STATE))
        path = rng.choice(sorted(state.glob(pattern)))
        _change_checkpoint(path, rng)
        if rng.random() < 0.05:
            path.rename(path.with_name("samples-0123456789abcdef.safetensors"))
        return _learner_args(folder, sound / f"{name}.npz")

    return prepare


TARGETS: dict[str, Target] = {
    "compile model": Target("compile", _compile_model),
    "export checkpoint": Target("export", _export_checkpoint),
    "export file": Target("export", _export(_change_file)),
    "export manifest": Target("export", _export(_change_manifest)),
    "inspect file": Target("inspect", _inspect(_change_file)),
    "inspect manifest": Target("inspect", _inspect(_change_manifest)),
    "inspect model": Target("inspect", _inspect_model),
    "opt model": Target("opt", _opt_model),
    "run checkpoint": Target("run", _run_checkpoint),
    "run csv": Target("run", _run_folder("csv", "mlp")),
    "run file": Target("run", _run(_change_file)),
    "run folder": Target("run", _run_folder("folder", "cnn_bn")),
    "run idx": Target("run", _run_folder("idx", "mlp")),
    "run manifest": Target("run", _run(_change_manifest)),
    "run npz": Target("run", _run_npz),
}


LATER: dict[str, Target] = {
    "learner artifact": Target(LEARNER, _learner_artifact),
    "learner samples": Target(LEARNER, _learner_state("*s-*.safetensors")),
    "learner state": Target(LEARNER, _learner_state("state.safetensors")),
}
"""Targets that came later; their cases have numbers of their own, so that those of earlier seeds stay the same."""
FIRST_LATER = 10**6
"""The number of the first of those cases."""
ALL = {**TARGETS, **LATER}


def numbers(first: int) -> Iterator[int]:
    """The numbers of the cases from one on: behind each round of the targets a case of those that came later."""
    if first >= FIRST_LATER:
        yield from itertools.count(first)
    for number in itertools.count(first):
        yield number
        if number % len(TARGETS) == len(TARGETS) - 1:
            yield FIRST_LATER + number // len(TARGETS)


def target_of(number: int, only: str = "") -> str:
    """The name of the target of a case.

    Args:
        number: of the case.
        only: a part of the names of the targets that take turns.
    """
    table = ALL if only else LATER if number >= FIRST_LATER else TARGETS
    names = [name for name in table if only in name]
    return names[number % len(names)]


def prepared(sound: Path, folder: Path, seed: int, number: int, only: str = "") -> Case:
    """Fill a folder for the case of this seed and number, which are all that it depends on.

    Args:
        sound: the material.
        folder: an empty folder.
        seed: of the whole run.
        number: of the case; targets take turns.
        only: a part of the names of the targets that take turns.
    """
    name = target_of(number, only)
    # A generator of its own for every case: none depends on those before it.
    args = ALL[name].prepare(sound, folder, Random(f"{seed}/{number}"))
    return Case(name, ALL[name].command, args)
