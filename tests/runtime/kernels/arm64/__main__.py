"""Build the kernels for arm64 and hold them against this machine's: `make test-arm64`.

Exit code 0 when all results agree, 1 when one does not, 2 when something is missing.
"""

import os
import subprocess
import sys

from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels import elf
from tests.runtime.kernels.arm64.library import FOLDER, ROOT, build
from tests.runtime.kernels.arm64.machine import Machine, Unready, check_tools
from tests.runtime.kernels.arm64.recorded import save
from tests.runtime.kernels.arm64.runs import runs


def main() -> int:
    """Run all steps; parts of an earlier run are used again."""
    check_tools()
    if kernels.library() is None:
        raise Unready(f"this machine's results are missing: {kernels.reason()}")
    library = build()
    found = elf.findings(elf.read(library))
    verdict = "; ".join(found) or "needs nothing of the system that loads it"
    print(f"{library.relative_to(ROOT)}: {verdict}")
    machine = Machine(FOLDER, ROOT / "constraints.txt")
    machine.prepare()
    recorded = FOLDER / "runs.npz"
    save(recorded, list(runs()))
    print("running it under qemu, which takes a minute or two ...", flush=True)
    command = machine.python("-m", "tests.runtime.kernels.arm64.compare", recorded, library)
    done = subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"]})
    return 1 if found or done.returncode != 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unready as error:
        print(error, file=sys.stderr)
        sys.exit(2)
