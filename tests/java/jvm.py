"""A JVM with ONNX Runtime's Java API on its builds for Linux and for Android, and the driver of runtime/java in it.

The API's classes and its glue to the library come in the Android package alone (tests/android/package.py). The glue
asks for Android's libc, which the stand-ins are (tests/android/stand_ins.py), and for a function that only the Android
build has: a library between the glue and the build for Linux has it, and returns nothing.
"""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.android import package, stand_ins
from tests.runtime.kernels.arm64.machine import Unready, call

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "runtime" / "java"
FOLDER, ANDROID = ROOT / "build" / "java", ROOT / "build" / "android"
FETCH = "SPARCL_JAVA_FETCH"
"""Environment variable that allows to fetch what is missing; `make test-java` sets it, and then nothing is skipped."""

TOOLS = {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless", "make": "make", "gcc": "gcc"}
"""The Debian package of each command."""
LIBRARIES = ("linux", "android")
GLUE, RUNTIME = "libonnxruntime4j_jni.so", "libonnxruntime.so"
BRIDGE = "void *OrtSessionOptionsAppendExecutionProvider_Nnapi(void) { return 0; }\n"
VERSION = f"VERS_{package.RUNTIME} {{ global: *; }};\n"
NOISE = "telemetry"
"""A word of the line that the Android build of ONNX Runtime begins with, where it has no Android to send to."""


@dataclasses.dataclass(frozen=True)
class Jvm:
    """A JVM with one of the libraries.

    Attributes:
        library: a name of ``LIBRARIES``.
        classes: the class path.
        native: the folder of the library.
    """

    library: str
    classes: str
    native: Path

    def command(self, main: str, *arguments: object) -> list[str]:
        """The command that runs a class of the package ``sparcl``."""
        path = f"LD_LIBRARY_PATH={self.native}"
        java = ["java", f"-Donnxruntime.native.path={self.native}", "-cp", self.classes]
        # `env` gives its process to Java: a signal reaches the JVM itself.
        return ["env", path, *java, f"sparcl.{main}", *map(str, arguments)]

    def run(self, main: str, *arguments: object) -> str:
        """Run a class; raises Unready with its last line."""
        return call(*self.command(main, *arguments))

    def tried(self, main: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a class, whatever comes of it; what ONNX Runtime says of Android is left out."""
        done = subprocess.run(self.command(main, *arguments), capture_output=True, text=True)
        lines = [line for line in done.stderr.splitlines() if line and NOISE not in line]
        done.stderr = "\n".join(lines)
        return done


def missing(fetch: bool) -> str:
    """One line on what keeps the JVM from running here; empty where nothing does.

    Args:
        fetch: whether ONNX Runtime may be fetched.
    """
    lost = {tool: debian for tool, debian in TOOLS.items() if shutil.which(tool) is None}
    if lost:
        return f"{', '.join(lost)}: not found; on Debian, apt install {' '.join(sorted(set(lost.values())))}"
    return (
        ""
        if fetch or (ANDROID / "package").exists()
        else "ONNX Runtime for Java is not here; `make test-java` fetches it (150 MB)"
    )


def jvm(library: str, fetch: bool = False) -> Jvm:
    """A JVM with one of ``LIBRARIES``, built if it is not there or older than its sources.

    Args:
        library: its name.
        fetch: whether ONNX Runtime may be fetched, 150 MB; the environment variable ``FETCH`` allows it as well.

    Raises:
        Unready: a tool is missing, or a download or a build fails.
    """
    lost = missing(fetch or FETCH in os.environ)
    if lost:
        raise Unready(lost)
    with _alone():
        unpacked = package.fetch(ANDROID)
        native = FOLDER / library
        if not (native / "complete").exists():
            _native(library, unpacked, native)
        api = unpacked / "classes.jar"
        call("make", "--silent", "-C", SOURCES, "tests", f"ORT={api}", f"OUT={FOLDER}")
    jars = (api, FOLDER / "sparcl.jar", FOLDER / "sparcl-tests.jar")
    return Jvm(library, ":".join(map(str, jars)), native)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes of the tests from building the same."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".build").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _native(library: str, unpacked: Path, native: Path) -> None:
    """Put the library, the glue and what these ask for into a folder."""
    shutil.rmtree(native, ignore_errors=True)
    glue = unpacked / "jni" / "x86_64" / GLUE
    own = unpacked / ("linux" if library == "linux" else "jni/x86_64") / RUNTIME
    stand_ins.build("x86_64", [glue, *([own] if library == "android" else [])], native)
    shutil.copy(glue, native)
    if library == "android":
        shutil.copy(own, native)
    else:
        _bridge(own, native)
    (native / "complete").touch()


def _bridge(own: Path, native: Path) -> None:
    real = native / f"{RUNTIME}.1"
    shutil.copy(own, real)
    (native / "bridge.c").write_text(BRIDGE, encoding="utf-8")
    (native / "bridge.map").write_text(VERSION, encoding="utf-8")
    flags = ("-shared", "-fPIC", f"-Wl,-soname,{RUNTIME}", f"-Wl,--version-script={native / 'bridge.map'}")
    call("gcc", *flags, "-o", native / RUNTIME, native / "bridge.c", "-Wl,--no-as-needed", real)
