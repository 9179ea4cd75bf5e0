"""An arm64 machine below one folder: Debian's Python and the registry's wheels, run by qemu. Nothing is installed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TOOLS = {
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "qemu-aarch64": "qemu-user",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
"""The Debian package of each command, by command."""

CORE = "cortex-a53"
"""The oldest core that phones still have, of ARMv8.0: a newer instruction ends the test."""

CPUINFO = """processor\t: {}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
"""A processor of /proc/cpuinfo. ONNX Runtime reads that file, and would find this machine's processors there."""

PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


class Unready(Exception):
    """The machine cannot be made; the message is one line for the user."""


def check_tools(which: Callable[[str], str | None] = shutil.which) -> None:
    """Refuse where a tool is missing, naming the packages.

    Raises:
        Unready: at least one is missing.
    """
    missing = [tool for tool in TOOLS if which(tool) is None]
    if missing:
        packages = " ".join(TOOLS[tool] for tool in missing)
        raise Unready(f"{', '.join(missing)}: not found; on Debian, apt install {packages}")


def call(*command: str | Path) -> str:
    """Run a command and return what it prints.

    Raises:
        Unready: it fails; the message ends with the last line of its complaint.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unready(f"{' '.join(map(str, command))[:120]}: {complaint[-1]}")
    return done.stdout


class Machine:
    """An arm64 system in a folder, whose downloads and packages are used again."""

    def __init__(self, folder: Path, constraints: Path) -> None:
        """`constraints` is pip's file with the exact versions of numpy and onnxruntime."""
        self.root = folder / "root"
        self.packages = folder / "packages"
        self._archives = folder / "apt"
        self._constraints = constraints

    def prepare(self) -> None:
        """Fetch the missing parts.

        Raises:
            Unready: a download or a tool fails.
        """
        if not self.root.exists():
            self._install(self.root, self._unpack_python)
        stale = self.packages.exists() and self.packages.stat().st_mtime < self._constraints.stat().st_mtime
        if stale:
            shutil.rmtree(self.packages)
        if not self.packages.exists():
            self._install(self.packages, self._unpack_wheels)

    def python(self, *arguments: str | Path) -> list[str]:
        """The command that runs the emulated Python."""
        path = ["-E", f"PYTHONPATH={self.packages}"]
        emulator = ["qemu-aarch64", "-cpu", CORE, "-L", str(self.root), *path]
        return [*emulator, str(self.root / "usr/bin/python3"), *map(str, arguments)]

    def _install(self, target: Path, fill: Callable[[Path], None]) -> None:
        """Fill a folder that gets its name when it is complete."""
        part = target.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        part.rename(target)

    def _unpack_python(self, target: Path) -> None:
        for folder in ("lists/partial", "archives/partial"):
            (self._archives / folder).mkdir(parents=True, exist_ok=True)
        (self._archives / "status").touch()
        apt = self._apt()
        call(*apt, "update")
        call(*apt, "install", "--download-only", "--yes", "python3", "libstdc++6")
        for package in sorted((self._archives / "archives").glob("*.deb")):
            call("dpkg-deb", "--extract", package, target)
        # qemu looks for every absolute path below its root first.
        (target / "proc").mkdir()
        processors = range(os.cpu_count() or 1)
        (target / "proc/cpuinfo").write_text("".join(map(CPUINFO.format, processors)), encoding="utf-8")

    def _apt(self) -> Sequence[str]:
        """This machine's package sources for another architecture, with a state of its own: nothing is installed."""
        options = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Dir::Cache": self._archives,
            "Dir::State::lists": self._archives / "lists",
            "Dir::State::status": self._archives / "status",
        }
        return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]

    def _unpack_wheels(self, target: Path) -> None:
        version = call(*self.python("-c", "import sys; print('%d.%d' % sys.version_info[:2])")).strip()
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", target]
        platforms = [f"--platform={name}" for name in PLATFORMS]
        wheels = ["--only-binary=:all:", "--no-deps", "--implementation=cp", f"--python-version={version}", *platforms]
        call(*pip, *wheels, "-c", self._constraints, "numpy", "onnxruntime")
