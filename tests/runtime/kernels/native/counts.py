"""Instructions and loads for each vector multiply-add, on arm64 and on x86-64, as QEMU's emulators count them.

    python -m tests.runtime.kernels.native.counts [--channels 64] [--size 16] [--batch 32] [--percent 10]

Builds the library for NEON (128 bits), for SSE4 (128 bits, without fused multiply-adds) and for AVX2 (256 bits), runs
each sparse convolution of a 3x3 layer under a plugin that counts what is executed (count_plugin.cc), and prints a line
for each. What starting the program takes is subtracted. It needs Debian's packages g++-aarch64-linux-gnu, qemu-user and
libhwy-dev. QEMU knows no AVX-512.
"""

import dataclasses
import subprocess
from pathlib import Path

import click

ROOT = Path(__file__).parents[4]
SOURCES = Path(__file__).parent
KERNELS = ROOT / "runtime" / "kernels"
OPS = ("SparseConv", "SparseConvInputGrad", "SparseConvWeightGrad")
REPEATS = 2
"""Further runs of an op, whose counts are those of one run more."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """An emulated machine: the compiler and its flags, the emulator with its options, arguments of CMake."""

    name: str
    bits: int
    compiler: str
    flags: str
    emulator: tuple[str, ...]
    configure: tuple[str, ...] = ()


MACHINES = (
    Machine(
        "NEON",
        128,
        "aarch64-linux-gnu-g++",
        "",
        ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
        (f"-DCMAKE_TOOLCHAIN_FILE={KERNELS / 'aarch64-linux-gnu.cmake'}",),
    ),
    Machine(
        "SSE4",
        128,
        "g++",
        "-msse4.2 -mpclmul -maes -DSPARCL_LEFT_OUT=HWY_AVX3_DL",
        ("qemu-x86_64", "-cpu", "Nehalem,+aes,+pclmulqdq"),
    ),
    Machine("AVX2", 256, "g++", "", ("qemu-x86_64", "-cpu", "max")),
)


def built(machine: Machine, folder: Path) -> tuple[Path, Path]:
    """The program and the library for a machine."""
    folder.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", str(KERNELS), "-B", str(folder), *machine.configure]
    configure.append(f"-DCMAKE_CXX_FLAGS={machine.flags}")
    for command in (configure, ["cmake", "--build", str(folder)]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    program = folder / "run"
    compiled = [machine.compiler, "-std=c++17", "-O1", f"-I{KERNELS}", str(SOURCES / "run.cc"), "-o", str(program)]
    subprocess.run([*compiled, "-ldl", "-pthread"], check=True)
    return program, folder / "libsparcl_kernels.so"


def plugin(folder: Path) -> Path:
    """The plugin that counts."""
    made = folder / "count_plugin.so"
    source = SOURCES / "count_plugin.cc"
    subprocess.run(["g++", "-std=c++17", "-O1", "-fPIC", "-shared", str(source), "-o", str(made)], check=True)
    return made


def counted(command: list[str]) -> dict[str, int]:
    """What the plugin wrote behind the program's own lines."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name: int(number) for name, number in (line.split() for line in done.stderr.splitlines())}


def of_one_run(machine: Machine, files: tuple[Path, Path, Path], op: str, shape: list[str]) -> dict[str, float]:
    """The counts of one run of an op."""
    program, library, counter = files
    emulator = [*machine.emulator, "-plugin", str(counter), str(program), str(library), op, *shape]
    first, more = (counted([*emulator, str(repeats)]) for repeats in (1, 1 + REPEATS))
    return {name: (more[name] - first[name]) / REPEATS for name in first}


@click.command(help=__doc__)
@click.option("--channels", default=64, show_default=True, help="Channels that the layer reads and writes.")
@click.option("--size", default=16, show_default=True, help="Rows and columns of the images.")
@click.option("--batch", default=32, show_default=True)
@click.option("--percent", default=10, show_default=True, help="Weights that are kept.")
@click.option("--only", multiple=True, type=click.Choice([one.name for one in MACHINES]), help="This machine alone.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/counts"), show_default=True)
def main(channels: int, size: int, batch: int, percent: int, only: tuple[str, ...], folder: Path) -> None:
    """Build, run and print."""
    folder.mkdir(parents=True, exist_ok=True)
    counter = plugin(folder)
    click.echo(f"{'machine':>8} {'op':>20} {'block':>5} {'multiply-adds':>13} {'instructions':>12} loads stores")
    for machine in (one for one in MACHINES if not only or one.name in only):
        files = (*built(machine, folder / machine.name), counter)
        for block in (1, 4):
            for op in OPS:
                shape = [str(one) for one in (channels, channels, size, batch, percent, block)]
                found = of_one_run(machine, files, op, shape)
                products = found["multiply_adds"]
                each = [found[name] / products for name in ("instructions", "loads", "stores")]
                click.echo(
                    f"{machine.name:>8} {op:>20} {block:>5} {products:>13.0f} "
                    f"{each[0]:>12.2f} {each[1]:>5.2f} {each[2]:>6.2f}"
                )


if __name__ == "__main__":
    main()
