"""Whole runs of the driver in JavaScript, for the table of `make parity`: in Node, and in Chromium's WebAssembly."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.numpy import save_file

from sparcl_compile.runtime.data.digits import load
from tests.conformance.kit import ARTIFACT, SAMPLES, TRACE
from tests.js import tools
from tests.parity.compare import compare, of_trace
from tests.parity.forms import FORMS, STEPS
from tests.parity.node import NO_KERNELS, VERSION
from tests.parity.rows import Row, made
from tests.parity.runs import CLASS_IL, Reference, trace
from tests.runtime.kernels.arm64.machine import Unready

RUNTIMES: Mapping[str, str] = {"runtime/js, Node": "onnxruntime-node", "runtime/js, Chromium (WASM)": "chromium"}
"""The package that the driver runs on, by the row's name."""


def driven(reference: Reference, name: str) -> Row:
    """The run of a form by the driver.

    Raises:
        Unready: something is missing, or the form needs the kernel library.
    """
    if reason := tools.missing(RUNTIMES[name]):
        raise Unready(reason)
    if FORMS[reference.form].options.compress:
        raise Unready(NO_KERNELS)
    tools.build()
    kits = reference.folder / RUNTIMES[name]
    _kit(reference, kits / reference.form)
    tools.learn(kits, reference.form, kits / TRACE, RUNTIMES[name])
    found, wanted = trace(kits), trace(reference.recorded)
    difference = compare(of_trace(found), of_trace(wanted), STEPS)
    return made(Row(reference.form, name, VERSION), difference, [], found["end"][CLASS_IL])


def _kit(reference: Reference, folder: Path) -> None:
    """A folder as those of tests/conformance, with what is told of the run."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(reference.artifact, folder / ARTIFACT)
    told, data = FORMS[reference.form].told, load("digits")
    parts = ("x_train", "y_train", "x_test", "y_test")
    save_file({part: getattr(data, part) for part in parts}, folder / SAMPLES)
    kept = ("seed", "tasks", "epochs", "learning_rate", "class_order_seed")
    run = {
        **{name: told[name] for name in kept},
        "batch": told["batch_size"],
        "buffer": told["buffer_size"],
        "augment": int(told.get("augment", "none") != "none"),
    }
    (folder / TRACE).write_text(json.dumps({"run": run}), encoding="utf-8")
