"""Stand-ins for Android's system libraries, so that ONNX Runtime's Android package loads in a process of glibc.

Most functions mean the same in bionic, Android's libc, as in glibc: for each of them ``libc.so`` has a jump through a
table that is filled, by name, when the library is loaded. Those that differ are in bionic/special.c. The symbols are
versioned ``LIBC`` as bionic's are.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection

from tests.runtime.kernels.arm64.machine import call

SOURCES = Path(__file__).parent / "bionic"
VERSION = "LIBC"
EMPTY = ("m", "dl", "android")
"""Libraries that are asked for and whose symbols ``libc.so`` has."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """How to build for an ABI of Android.

    Attributes:
        compiler: prefix of GCC's commands.
        folder: of the ABI in the package.
        jump: the assembler lines of a jump through entry ``{at}`` (in bytes) of the table.
        kind: GNU as's sign for types of symbols and sections.
    """

    compiler: str
    folder: str
    jump: str
    kind: str


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine("", "x86_64", "jmp *shim_table+{at}(%rip)", "@"),
    "arm64": Machine(
        "aarch64-linux-gnu-",
        "arm64-v8a",
        "adrp x16, shim_table+{at}\n ldr x16, [x16, :lo12:shim_table+{at}]\n br x16",
        "%",
    ),
}


def needed(library: Path) -> set[str]:
    """The symbols of version ``LIBC`` that a library takes from others."""
    with library.open("rb") as file:
        elf = ELFFile(file)
        sections = list(elf.iter_sections())
        (versions,) = (one for one in sections if isinstance(one, GNUVerSymSection))
        (names,) = (one for one in sections if isinstance(one, GNUVerNeedSection))
        numbers = {
            aux["vna_other"] for _, all_of_one in names.iter_versions() for aux in all_of_one if aux.name == VERSION
        }
        symbols = elf.get_section_by_name(".dynsym")
        undefined = [number for number, one in enumerate(symbols.iter_symbols()) if one["st_shndx"] == "SHN_UNDEF"]
        return {
            symbols.get_symbol(number).name for number in undefined if versions.get_symbol(number)["ndx"] in numbers
        }


def special(source: str, machine: str) -> set[str]:
    """The functions that special.c has for a machine; those behind ``#ifdef __x86_64__`` are for that one alone."""
    only_x86 = "".join(re.findall(r"#ifdef __x86_64__(.*?)#endif", source, re.DOTALL))
    every, of_x86 = (set(re.findall(r"\bLIBC\((\w+)\)", text)) for text in (source, only_x86))
    return every - {"name"} if machine == "x86_64" else every - of_x86 - {"name"}


def jumps(names: Iterable[str], machine: Machine) -> str:
    """The assembler source of the jumps."""
    lines = [".text"]
    for number, name in enumerate(names):
        jump = machine.jump.format(at=8 * number)
        lines += [f".globl shim_{name}", f".type shim_{name},{machine.kind}function"]
        lines += [f".symver shim_{name}, {name}@{VERSION}", f"shim_{name}: {jump}"]
    return "\n".join([*lines, f'.section .note.GNU-stack,"",{machine.kind}progbits', ""])


def table(names: list[str]) -> str:
    """The C source of the table."""
    listed = ", ".join(f'"{name}"' for name in names)
    hidden = '__attribute__((visibility("hidden")))'
    return (
        f"{hidden} void *shim_table[{len(names)}];\n"
        f"{hidden} const char *shim_names[] = {{{listed}}};\n"
        f"{hidden} int shim_count = {len(names)};\n"
    )


def build(machine: str, libraries: Iterable[Path], folder: Path) -> None:
    """Build the stand-ins for these libraries into a folder.

    Raises:
        Unready: the compiler fails.
    """
    how = MACHINES[machine]
    wanted = set().union(*map(needed, libraries))
    plain = sorted(wanted - special((SOURCES / "special.c").read_text(encoding="utf-8"), machine))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("jumps.S", jumps(plain, how)),
        ("table.c", table(plain)),
        ("empty.c", "int shim_of_an_empty_library;\n"),
        ("versions.map", f"{VERSION} {{ global: *; }};\n"),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    own = [SOURCES / "special.c", folder / "table.c", folder / "jumps.S"]
    _link(how, folder, "c", "-fno-builtin", *own, "-ldl")
    for name in EMPTY:
        _link(how, folder, name, folder / "empty.c")
    _link(how, folder, "log", SOURCES / "log.c")


def _link(how: Machine, folder: Path, name: str, *arguments: str | Path) -> None:
    library = f"lib{name}.so"
    flags = ("-O1", "-fPIC", "-shared", f"-Wl,-soname,{library}", f"-Wl,--version-script={folder / 'versions.map'}")
    call(f"{how.compiler}gcc", *flags, "-o", folder / library, *arguments)
