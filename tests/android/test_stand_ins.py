"""The stand-ins, with a small library built as for Android: its libc has the name and the version of bionic's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.android import stand_ins
from tests.android.phone import TOOLS, check_tools
from tests.runtime.kernels.arm64.machine import Unready, call

SPECIAL = (stand_ins.SOURCES / "special.c").read_text(encoding="utf-8")
BIONIC = """
#include <stddef.h>
size_t strlen(const char *text) { return 0; }
int atexit(void (*function)(void)) { return 0; }
int *__errno(void) { return NULL; }
long sysconf(int name) { return 0; }
int of_the_future(void) { return 0; }
"""
LIBRARY = """
#include <stddef.h>
size_t strlen(const char *);
int *__errno(void);
long sysconf(int);
int of_the_future(void);
int length(const char *text) { return (int)strlen(text); }
long page(void) { return sysconf(39); }
int error(void) { sysconf(12345); return *__errno(); }
int future(void) { return of_the_future(); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None or sys.platform != "linux":
        pytest.skip("needs gcc and Linux")
    folder = tmp_path_factory.mktemp("library")
    (folder / "bionic.c").write_text(BIONIC)
    (folder / "library.c").write_text(LIBRARY)
    (folder / "versions.map").write_text("LIBC { global: *; };")
    flags = ("-fPIC", "-shared", "-fno-builtin", "-nostdlib", "-w")
    version = f"-Wl,--version-script={folder / 'versions.map'}"
    call("gcc", *flags, version, "-Wl,-soname,libc.so", "-o", folder / "libc.so", folder / "bionic.c")
    call("gcc", *flags, "-o", folder / "libsmall.so", folder / "library.c", f"-L{folder}", "-l:libc.so")
    return folder / "libsmall.so"


@pytest.fixture(scope="module")
def built(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    stand_ins.build("x86_64", [library], folder)
    shutil.copy(library, folder)
    return folder


def run(folder: Path, expression: str) -> subprocess.CompletedProcess[str]:
    code = f"import ctypes; small = ctypes.CDLL('{folder}/libsmall.so'); print({expression})"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={"LD_LIBRARY_PATH": str(folder)}, capture_output=True, text=True)


def test_the_symbols_of_bionic_s_version_are_found(library: Path) -> None:
    assert stand_ins.needed(library) == {"strlen", "__errno", "sysconf", "of_the_future"}


def test_a_jump_goes_to_glibc(built: Path) -> None:
    assert run(built, "small.length(b'seven77')").stdout == "7\n"


def test_a_number_of_bionic_is_glibc_s(built: Path) -> None:
    assert run(built, "small.page()").stdout == f"{call('getconf', 'PAGESIZE').strip()}\n"


def test_what_is_not_known_is_an_error_and_told(built: Path) -> None:
    done = run(built, "small.error()")
    assert done.stdout == "22\n"
    assert "stand-in: sysconf 12345 is not known" in done.stderr


def test_a_function_that_glibc_has_not_ends_the_process_only_when_called(built: Path) -> None:
    assert "stand-in: of_the_future is not in glibc" in run(built, "small.length(b'')").stderr
    done = run(built, "small.future()")
    assert done.returncode < 0
    assert "a function was called that glibc has not" in done.stderr


def test_special_functions_by_machine() -> None:
    x86, arm = (stand_ins.special(SPECIAL, machine) for machine in ("x86_64", "arm64"))
    assert x86 - arm == {"strtold_l", "llroundl"}
    assert {"__sF", "sysconf", "pthread_sigmask", "__errno"} <= arm
    assert "name" not in x86


@pytest.mark.parametrize("machine", stand_ins.MACHINES)
def test_a_jump_for_every_name(machine: str) -> None:
    text = stand_ins.jumps(["strlen", "memcpy"], stand_ins.MACHINES[machine])
    assert ".symver shim_strlen, strlen@LIBC" in text
    assert "shim_table+0" in text.partition("shim_memcpy:")[0]
    assert "shim_table+8" in text.partition("shim_memcpy:")[2]
    assert '"strlen", "memcpy"' in stand_ins.table(["strlen", "memcpy"])


@pytest.mark.parametrize("machine", TOOLS)
def test_tools_that_are_missing_are_named_with_their_packages(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    tools, packages = ", ".join(TOOLS[machine]), " ".join(TOOLS[machine].values())
    with pytest.raises(Unready, match=re.escape(f"{tools}: not found; on Debian, apt install {packages}")):
        check_tools(machine)
