"""The library's file for a processor loads everywhere: it meets the demands of other linkers than this machine's."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels.elf import EXPORTED, RELATIVE, Library, findings, read

GOOD = Library(
    machine="EM_AARCH64",
    exported=EXPORTED,
    undefined=frozenset(),
    needed=(),
    tags=frozenset({"DT_GNU_HASH"}),
    flags=0,
    relocations=frozenset({RELATIVE["EM_AARCH64"]}),
    segments=frozenset({"PT_LOAD", "PT_DYNAMIC"}),
    alignments=(16384, 65536),
    writable_code=False,
    read_only_end=16384,
)


def library() -> Path:
    found = kernels.library()
    assert found is not None
    return found


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer's run-time library needs libc")
def test_the_library_needs_nothing() -> None:
    assert findings(read(library())) == []


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ({"undefined": frozenset({"memcpy", "malloc"})}, "has undefined symbols: malloc, memcpy"),
        ({"needed": ("libc.so.6",)}, "needs other libraries: libc.so.6"),
        (
            {"exported": EXPORTED | {"helper"}},
            "exports RegisterCustomOps, SparclCaches, SparclTarget, SparclUseCaches, SparclUseTarget, helper",
        ),
        ({"tags": frozenset({"DT_HASH"})}, "has no table of its symbols (DT_GNU_HASH)"),
        ({"segments": frozenset({"PT_LOAD", "PT_TLS"})}, "has thread-local storage"),
        ({"tags": frozenset({"DT_GNU_HASH", "DT_TEXTREL"})}, "has text relocations"),
        ({"flags": 4}, "has text relocations"),
        ({"relocations": frozenset({1032})}, "has relocations that look symbols up or call resolvers"),
        ({"writable_code": True}, "has a segment that is both writable and executable"),
        ({"alignments": (65536, 4096)}, "is aligned to 4096 bytes, not to pages of 16384"),
        ({"read_only_end": 4096}, "has read-only data that ends within a page of 16384 bytes"),
    ],
)
def test_what_a_linker_refuses_is_found(fact: dict[str, Any], message: str) -> None:
    assert findings(GOOD) == []
    assert findings(replace(GOOD, **fact)) == [message]


def test_an_ordinary_library_is_read() -> None:
    ordinary = read(Path(np._core._multiarray_umath.__file__))
    assert "libc.so.6" in ordinary.needed
    assert "malloc" in ordinary.undefined
    assert any(line.startswith("needs other libraries: ") for line in findings(ordinary))
