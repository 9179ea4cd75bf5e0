"""ONNX Runtime for JavaScript: the packages of npm, run by node."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.parity.replayers import Replayer
from tests.runtime.kernels.arm64.machine import Unready

PROGRAM = Path(__file__).parent / "replay.mjs"
VERSION = "1.30.0"
PACKAGES: Mapping[str, tuple[str, str]] = {
    "onnxruntime-node": ("onnxruntime-node", "dist/index.js"),
    "onnxruntime-web (WASM)": ("onnxruntime-web", "dist/ort.node.min.mjs"),
}
"""The package and its file by the runtime's name."""
NO_KERNELS = "ONNX Runtime for JavaScript has no custom operators, so no kernel library"


def replayer(name: str, folder: Path, which: Callable[[str], str | None] = shutil.which) -> Replayer:
    """One of ``PACKAGES``, installed below a folder.

    Raises:
        Unready: node or npm is missing, or the installation fails.
    """
    missing = [tool for tool in ("node", "npm") if which(tool) is None]
    if missing:
        raise Unready(f"{', '.join(missing)}: not found; on Debian, apt install nodejs npm")
    install(folder)
    package, file = PACKAGES[name]
    command = ("node", str(PROGRAM), str(folder / "node_modules" / package / file))
    return Replayer(name, VERSION, command, None, NO_KERNELS)


def install(folder: Path) -> None:
    """Install the packages, without their scripts, one of which would fetch a CUDA build; raises Unready."""
    done = folder / f".{VERSION}"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{package}@{VERSION}" for package, _ in PACKAGES.values()]
    command = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        f"--prefix={folder}",
        *wanted,
    ]
    skip = {**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"}
    made = subprocess.run(command, env=skip, capture_output=True, text=True)
    if made.returncode != 0:
        complaint = (made.stderr or made.stdout).strip().splitlines() or ["no message"]
        raise Unready(f"npm install: {complaint[-1]}")
    done.touch()
