"""Processes that have loaded ONNX Runtime's Android library, and one with the build for Linux of the same sources."""

import os
import shutil
from pathlib import Path

from sparcl_compile.runtime.session import kernel_library
from tests.android import package, stand_ins
from tests.parity.replayers import Replayer
from tests.runtime.kernels.arm64 import library
from tests.runtime.kernels.arm64.machine import CORE, CPUINFO, Unready, call

SOURCE = Path(__file__).parent / "replay.cc"
GLIBC = Path("/usr/aarch64-linux-gnu/lib")
"""Where Debian's cross-compiler has the arm64 libraries."""
TOOLS = {
    "x86_64": {"g++": "g++", "gcc": "gcc"},
    "arm64": {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"},
}
"""The Debian package of each command that is needed, by machine."""
NOT_SHOWN = (
    "Android: the library's own code for Android ran, on stand-ins for Android's system libraries. Not shown by this: "
    "the runtime for Java (ART), Android's linker and libc, NNAPI and other accelerators, a phone's time and memory."
)


def check_tools(machine: str) -> None:
    """Refuse where a tool is missing, naming the packages.

    Raises:
        Unready: at least one is missing.
    """
    missing = {tool: debian for tool, debian in TOOLS[machine].items() if shutil.which(tool) is None}
    if missing:
        raise Unready(f"{', '.join(missing)}: not found; on Debian, apt install {' '.join(missing.values())}")


def android(machine: str, folder: Path) -> Replayer:
    """ONNX Runtime's Android library of a machine, ready to replay tapes.

    Args:
        machine: a name of ``stand_ins.MACHINES``.
        folder: what is fetched and built goes below it, and is used again.

    Raises:
        Unready: a tool is missing, or a download or a build fails.
    """
    check_tools(machine)
    unpacked, built = package.fetch(folder), folder / machine
    how = stand_ins.MACHINES[machine]
    runtime = unpacked / "jni" / how.folder / "libonnxruntime.so"
    stand_ins.build(machine, [runtime], built)
    shutil.copy(runtime, built)
    program = _compile(f"{how.compiler}g++", unpacked, built)
    command = (*_emulator(machine, folder), program, built / "libonnxruntime.so")
    return Replayer(f"Android {machine}", package.RUNTIME, tuple(map(str, command)), *_kernels(machine))


def linux(folder: Path) -> Replayer:
    """The build for Linux of the same sources, by the same program; raises Unready."""
    check_tools("x86_64")
    unpacked, built = package.fetch(folder), folder / "linux"
    built.mkdir(exist_ok=True)
    program = _compile("g++", unpacked, built)
    command = (str(program), str(unpacked / "linux" / "libonnxruntime.so"))
    return Replayer("Linux x86_64, C API", package.RUNTIME, command, *_kernels("x86_64"))


def _compile(compiler: str, unpacked: Path, built: Path) -> Path:
    program = built / "replay"
    call(compiler, "-std=c++17", "-O1", f"-I{unpacked / 'headers'}", "-o", program, SOURCE, "-ldl")
    return program


def _emulator(machine: str, folder: Path) -> tuple[str | Path, ...]:
    """The command in front of a program for the machine."""
    if machine != "arm64":
        return ()
    if not GLIBC.is_dir():
        raise Unready(f"{GLIBC}: not found; on Debian, apt install libc6-arm64-cross libstdc++6-arm64-cross")
    root = folder / "arm64-root"
    (root / "proc").mkdir(parents=True, exist_ok=True)
    # qemu looks for every absolute path below its root first; ONNX Runtime reads which processor it has.
    (root / "proc" / "cpuinfo").write_text("".join(map(CPUINFO.format, range(os.cpu_count() or 1))), encoding="utf-8")
    if not (root / "lib").is_symlink():
        (root / "lib").symlink_to(GLIBC)
    return "qemu-aarch64", "-cpu", CORE, "-L", root


def _kernels(machine: str) -> tuple[Path | None, str]:
    """The kernel library for a machine, or None and the reason."""
    if machine != "arm64":
        return kernel_library.library(), kernel_library.reason()
    try:
        return library.build(), ""
    except Unready as error:
        return None, f"the kernel library cannot be built for arm64 ({error})"
