from pathlib import Path

import pytest

from sparcl_compile.bench.settings import absolute


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("digits", "digits"),
        ("held-out:digits", "held-out:digits"),
        ("npz:a.npz", f"npz:{Path('a.npz').absolute()}"),
        ("held-out:npz:a.npz", f"held-out:npz:{Path('a.npz').absolute()}"),
        ("cifar10:/data", f"cifar10:{Path('/data').absolute()}"),
    ],
)
def test_the_path_of_a_source_holds_everywhere(source: str, found: str) -> None:
    assert absolute(source) == found
