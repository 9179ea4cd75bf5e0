"""Builds the kernel library (runtime/kernels) with CMake, where a compiler is there; the rest is in pyproject.toml.

Without a C++17 compiler, CMake or Google Highway's headers the installation goes on without the library, and the tool
computes in the masked form.
"""

import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

KERNELS = Path("sparcl_compile/runtime/kernels")
SUFFIXES = {".cc", ".cmake", ".h", ".txt"}


class BuildKernels(build_ext):
    """Hands the one extension to CMake, so that its flags stand in one file."""

    def build_extension(self, ext: Extension) -> None:
        """Build the library into the place where setuptools expects the extension.

        Raises:
            CompileError: CMake, the compiler or Highway is missing; setuptools turns it into a warning.
        """
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        folder = Path(self.build_temp).resolve() / "kernels"
        configure = ["cmake", "-S", str(KERNELS), "-B", str(folder), f"-DSPARCL_LIBRARY={target}"]
        try:
            for command in (configure, ["cmake", "--build", str(folder), "--parallel"]):
                subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CompileError(
                f"the kernel library was not built ({error}): docs/kernels.md says what it needs"
            ) from None


setup(
    ext_modules=[
        Extension(
            "sparcl_compile.runtime.session._kernels",
            sources=[],
            depends=[path.as_posix() for path in sorted(KERNELS.rglob("*")) if path.suffix in SUFFIXES],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
