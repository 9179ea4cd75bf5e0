"""The demands of the dynamic linkers of glibc, musl and Android on the kernel library, checked in its ELF file."""

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_DT_FLAGS, ENUM_RELOC_TYPE_AARCH64, ENUM_RELOC_TYPE_x64
from elftools.elf.relocation import RelocationSection

PAGE = 16 * 1024
"""Bytes; Android has pages of 4 KiB, and from version 15 on of 16 KiB."""

EXPORTED = frozenset({"RegisterCustomOps", "SparclCaches", "SparclTarget", "SparclUseCaches", "SparclUseTarget"})
"""Symbols that ONNX Runtime or the tests call."""

RELATIVE = {
    "EM_AARCH64": ENUM_RELOC_TYPE_AARCH64["R_AARCH64_RELATIVE"],
    "EM_X86_64": ENUM_RELOC_TYPE_x64["R_X86_64_RELATIVE"],
}
"""The relocation that looks up no symbol and calls nothing, by machine."""


@dataclass(frozen=True)
class Library:
    """Facts of a shared library."""

    machine: str
    exported: frozenset[str]
    undefined: frozenset[str]
    needed: tuple[str, ...]
    tags: frozenset[str]
    """Names of the dynamic section's entries."""
    flags: int
    """DT_FLAGS."""
    relocations: frozenset[int]
    """Their types."""
    segments: frozenset[str]
    """Types of segments."""
    alignments: tuple[int, ...]
    """Alignments of the loaded segments, in bytes."""
    writable_code: bool
    read_only_end: int
    """Address at which the part ends that becomes read-only after relocation."""


def read(path: Path) -> Library:
    """Read a shared library with section headers."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols = [symbol for symbol in elf.get_section_by_name(".dynsym").iter_symbols() if symbol.name]
        undefined = frozenset(symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF")
        segments = list(elf.iter_segments())
        loaded = [segment for segment in segments if segment["p_type"] == "PT_LOAD"]
        protected = [segment for segment in segments if segment["p_type"] == "PT_GNU_RELRO"]
        (dynamic,) = (segment for segment in segments if isinstance(segment, DynamicSegment))
        tables = [section for section in elf.iter_sections() if isinstance(section, RelocationSection)]
        both = P_FLAGS.PF_W | P_FLAGS.PF_X
        return Library(
            machine=elf["e_machine"],
            exported=frozenset(symbol.name for symbol in symbols) - undefined,
            undefined=undefined,
            needed=tuple(tag.needed for tag in dynamic.iter_tags("DT_NEEDED")),
            tags=frozenset(str(tag.entry.d_tag) for tag in dynamic.iter_tags()),
            flags=sum(tag.entry.d_val for tag in dynamic.iter_tags("DT_FLAGS")),
            relocations=frozenset(entry["r_info_type"] for table in tables for entry in table.iter_relocations()),
            segments=frozenset(str(segment["p_type"]) for segment in segments),
            alignments=tuple(segment["p_align"] for segment in loaded),
            writable_code=any(segment["p_flags"] & both == both for segment in loaded),
            read_only_end=max((segment["p_vaddr"] + segment["p_memsz"] for segment in protected), default=0),
        )


def findings(library: Library) -> list[str]:
    """One line for everything that the linker of another system would stumble over."""
    text_relocations = "DT_TEXTREL" in library.tags or library.flags & ENUM_DT_FLAGS["DF_TEXTREL"]
    rules = (
        (library.undefined, f"has undefined symbols: {', '.join(sorted(library.undefined))}"),
        (library.needed, f"needs other libraries: {', '.join(library.needed)}"),
        (library.exported != EXPORTED, f"exports {', '.join(sorted(library.exported))}"),
        ("DT_GNU_HASH" not in library.tags, "has no table of its symbols (DT_GNU_HASH)"),
        ("PT_TLS" in library.segments, "has thread-local storage"),
        (text_relocations, "has text relocations"),
        (library.relocations - {RELATIVE[library.machine]}, "has relocations that look symbols up or call resolvers"),
        (library.writable_code, "has a segment that is both writable and executable"),
        (min(library.alignments) < PAGE, f"is aligned to {min(library.alignments)} bytes, not to pages of {PAGE}"),
        # Android's linker protects whole pages: what follows on the last one would become read-only too.
        (library.read_only_end % PAGE, f"has read-only data that ends within a page of {PAGE} bytes"),
    )
    return [line for broken, line in rules if broken]
