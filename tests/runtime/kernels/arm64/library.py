"""Cross-compiles the kernel library."""

import sys
from pathlib import Path

from tests.runtime.kernels.arm64.machine import call

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "build/arm64"
KERNELS = ROOT / "runtime/kernels"


def build() -> Path:
    """The library for arm64, built if it is not yet; raises Unready."""
    folder = FOLDER / "kernels"
    cmake = (sys.executable, "-m", "cmake")
    call(*cmake, "-S", KERNELS, "-B", folder, f"-DCMAKE_TOOLCHAIN_FILE={KERNELS / 'aarch64-linux-gnu.cmake'}")
    call(*cmake, "--build", folder)
    return folder / "libsparcl_kernels.so"
