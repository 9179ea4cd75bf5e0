"""What the cases begin with: sound models, artifacts with a run each, and the same data in four forms."""

import struct
from pathlib import Path
from random import Random

import numpy as np
import onnx
from PIL import Image

from sparcl_compile.interface.files import sha256
from tests.fuzz import learners
from tests.fuzz.tensors import read, sealed
from tests.support.cli import SMALL_RUN, arrays, done
from tests.support.zoo import HAND_MADE

ARTIFACTS = {
    "mlp": ("--sparsity", "0.75"),
    "cnn_bn": ("--sparsity", "0.75"),
    "resnet": ("--scheme", "channel", "--sparsity", "0.5", "--optimizer", "adamw", "--method", "er"),
}
"""The models that are compiled and run, and their options."""

IMAGES = {"cnn_bn": (3, 8, 8), "mlp": (12,), "resnet": (3, 8, 8)}
"""The shape of a sample, by model."""

IMPORT = "import_forward"
MASKED = "import_forward,insert_weight_masks{sparsity=0.5}"
TRAINED = f"{MASKED},attach_loss,save_batch_statistics,differentiate"
OPTED = {"imported": IMPORT, "masked": MASKED, "trained": TRAINED}
"""Files that sparcl-opt has written, by name, and their passes."""


def make(folder: Path) -> None:
    """Write everything that cases copy from."""
    for name, build in HAND_MADE.items():
        (folder / "models").mkdir(exist_ok=True)
        onnx.save(build(), folder / "models" / f"{name}.onnx")
    _write_opted(folder)
    _write_idx(folder / "idx")
    _write_images(folder / "folder")
    _write_csv(folder / "csv")
    for name, options in ARTIFACTS.items():
        np.savez(folder / f"{name}.npz", **small(IMAGES[name]))
        done("compile", folder / "models" / f"{name}.onnx", *options, "-o", folder / f"{name}.sparcl")
        done("run", folder / f"{name}.sparcl", "--data", f"npz:{folder}/{name}.npz", *SMALL_RUN)
        state = folder / f"{name}.run" / "state.safetensors"
        state.write_bytes(sealed(*read(state)))
        learners.live(folder / f"{name}.sparcl", folder / f"{name}.{learners.STATE}", folder / f"{name}.npz")


def small(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """A few samples of this shape a class."""
    return arrays(6, shape=shape)


def _write_opted(folder: Path) -> None:
    (folder / "opted").mkdir()
    for name, passes in OPTED.items():
        done("opt", folder / "models" / "cnn_bn.onnx", "-p", passes, "-o", folder / "opted" / f"{name}.onnx")


def _write_idx(folder: Path) -> None:
    folder.mkdir()
    made = small((1, 3, 4))  # as many values as the mlp reads
    for part, split in (("train", "train"), ("test", "t10k")):
        images, labels = made[f"x_{part}"][:, 0], made[f"y_{part}"].astype(np.uint8)
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / name).write_bytes(head + array.tobytes())


def _write_csv(folder: Path) -> None:
    folder.mkdir()
    made = small(IMAGES["mlp"])
    for part in ("train", "test"):
        x, y = made[f"x_{part}"], made[f"y_{part}"]
        rows = [",".join([*map(str, sample), str(label)]) for sample, label in zip(x, y, strict=True)]
        head = ",".join([*(f"v{place}" for place in range(x.shape[1])), "label"])
        (folder / f"{part}.csv").write_text("\n".join([head, *rows, ""]))


def _write_images(folder: Path) -> None:
    made = small((3, 8, 8))
    for part in ("train", "test"):
        for i, (image, label) in enumerate(zip(made[f"x_{part}"], made[f"y_{part}"], strict=True)):
            path = folder / part / f"class{label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)


def files(folder: Path) -> list[Path]:
    """Every file below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pick(folder: Path, rng: Random) -> Path:
    """Any of the files below a folder."""
    return rng.choice(files(folder))


def seal(artifact: Path) -> None:
    """Write the checksums of the manifest and the report anew."""
    names = [name for name in ("manifest.json", "report.json") if (artifact / name).is_file()]
    lines = [f"{sha256(artifact / name)}  {name}\n" for name in names]
    (artifact / "manifest.sha256").write_text("".join(lines))
