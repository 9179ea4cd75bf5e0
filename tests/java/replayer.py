"""The JVM as a runtime of `make parity`: a program of Java replays the tapes (runtime/java/src/test)."""

from sparcl_compile.runtime.session import kernel_library
from tests.android import package
from tests.java import jvm
from tests.parity.replayers import Replayer

NAMES = {"linux": "Java, Linux x86_64", "android": "Java, Android x86_64"}
"""The runtime's name by library."""


def replayer(library: str) -> Replayer:
    """The JVM with a library of ``NAMES``; raises Unready."""
    made = jvm.jvm(library, fetch=True)
    command = tuple(made.command("Replay"))
    return Replayer(NAMES[library], package.RUNTIME, command, kernel_library.library(), kernel_library.reason())
