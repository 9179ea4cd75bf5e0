"""Let one artifact learn in the ONNX Runtime of this Python: ``python -m tests.parity.learn ARTIFACT FORM FOLDER``.

Writes the trace of the run (tests/conformance/README.md) and, asked for, its tapes. It needs what ``sparcl-run`` needs.
"""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import click

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.runs.run import Run
from tests.conformance.replay import learn
from tests.conformance.trace import to_text
from tests.parity.recorder import Recorder

TRACE, ABOUT = "trace.json", "about.json"


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("options")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--tapes", is_flag=True, help="Record the tapes as well.")
def main(artifact: Path, options: str, folder: Path, tapes: bool) -> None:
    """Learn with OPTIONS, the fields of a RunConfig as JSON."""
    told = json.loads(options)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    loaded = load(artifact)
    run = Run(loaded, RunConfig(**told), folder / "run")
    with Recorder(run.engine, run.trainer._interpreter, loaded, folder) if tapes else contextlib.nullcontext():
        # A run calls these blocks while it is made, before anything can watch; again they give the same.
        run.trainer.call("class_order")
        run.trainer.call("statistics")
        trace = learn(run, {**told, "batch": told["batch_size"]})
    (folder / TRACE).write_text(to_text(trace), encoding="utf-8")
    python = ".".join(map(str, sys.version_info[:3]))
    (folder / ABOUT).write_text(json.dumps({"version": ort.__version__, "python": python}), encoding="utf-8")


if __name__ == "__main__":
    main()
