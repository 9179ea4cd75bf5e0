"""The distributions that provide ONNX Runtime: all install one import package, ``onnxruntime``."""

import contextlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from sparcl_compile.interface.errors import RuntimeBuildError

STOCK = "onnxruntime"
TRAINING = ("onnxruntime-training-cpu", "onnxruntime-training")
"""The training build for processors alone, and for NVIDIA GPUs too."""
BUILDS = (STOCK, *TRAINING, "onnxruntime-gpu")


def installed_builds() -> dict[str, str]:
    """The versions of the distributions that are installed, by name."""
    found = {}
    for name in BUILDS:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def named(builds: Mapping[str, str]) -> str:
    """Distributions and their versions as a text."""
    return " and ".join(f"{name} {number}" for name, number in builds.items())


def check_one_build() -> None:
    """Raise RuntimeBuildError where several distributions are installed.

    A later one overwrites files of the earlier one and leaves others, so that what is loaded is a mixture of two
    versions; and removing one of them takes files of the other along.
    """
    builds = installed_builds()
    if len(builds) > 1:
        raise RuntimeBuildError(
            f"{named(builds)} are installed over one another, since all are the package {STOCK}; pip uninstall -y "
            f"{' '.join(builds)}, then pip install the one that you want: {STOCK}, or {TRAINING[0]}==1.19.2 for the "
            "target ort-training"
        )


def training_mend(builds: Mapping[str, str]) -> str:
    """Say how an environment with these distributions gets the training build."""
    return (
        f"take the training build (x86-64 Linux, Python 3.11 or 3.12): pip uninstall -y {' '.join(builds) or STOCK}, "
        f"then pip install {TRAINING[0]}==1.19.2"
    )
