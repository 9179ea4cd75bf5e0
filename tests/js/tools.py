"""Node and the packages of runtime/js; where they are not at hand, tests are skipped with what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.runtime.kernels.arm64.machine import Unready

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "runtime" / "js"
ALL = "SPARCL_JS_ALL"
"""Environment variable with which the tests that take long run as well; `make test-js` sets it."""
RUNTIMES = ("onnxruntime-node", "onnxruntime-web", "chromium")
"""The runtimes that a kit can be learnt in (runtime/js/test/trace.ts)."""
CHROMIUM = Path(os.environ.get("SPARCL_CHROMIUM", "/usr/bin/chromium"))


def missing(runtime: str = RUNTIMES[0]) -> str:
    """One line on what keeps a runtime from running here; empty where nothing does."""
    if shutil.which("node") is None:
        return "node: not found; on Debian, apt install nodejs npm"
    if not (PACKAGE / "node_modules" / "typescript").is_dir():
        return "the packages of runtime/js are not installed; `make test-js` does it (580 MB)"
    if runtime == "chromium" and not CHROMIUM.exists():
        return f"{CHROMIUM}: not found; on Debian, apt install chromium, elsewhere SPARCL_CHROMIUM names it"
    return ""


def build() -> None:
    """Compile the TypeScript; raises Unready with what is missing, or with the compiler's first line."""
    if reason := missing():
        raise Unready(reason)
    run("node", "node_modules/typescript/bin/tsc")


def learn(kits: Path, name: str, trace: Path, runtime: str, fault: str = "") -> None:
    """Let the driver learn a kit and write its trace; raises Unready with the last line of an error."""
    run("node", "dist/test/trace.js", kits, name, trace, runtime, fault)


def run(*command: str | Path, at: Path = PACKAGE) -> str:
    """Run a command in a folder, by default the package's, and return what it prints; raises Unready where it fails."""
    done = subprocess.run(command, cwd=at, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unready((done.stderr + done.stdout).strip() or f"{command[0]}: failed")
    return done.stdout
