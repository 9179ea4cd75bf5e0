"""The JVM that the tests of runtime/java run in; where it is not at hand, they are skipped with what is missing."""

import os

import pytest

from tests.java import jvm
from tests.java.jvm import Jvm
from tests.runtime.kernels.arm64.machine import Unready


def ready(library: str) -> Jvm:
    try:
        return jvm.jvm(library)
    except Unready as error:
        if jvm.FETCH in os.environ:
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def linux() -> Jvm:
    return ready("linux")


@pytest.fixture(scope="session")
def android() -> Jvm:
    return ready("android")
