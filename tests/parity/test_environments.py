import re
from pathlib import Path

import pytest

from tests.parity import node
from tests.parity.environments import ENVIRONMENTS, NEEDS, NEWEST, OLDEST, constraints, missing, python_for
from tests.runtime.kernels.arm64.machine import Unready

PINNED = (Path(__file__).resolve().parents[2] / "constraints.txt").read_text(encoding="utf-8")


def test_the_first_python_that_is_there_is_taken() -> None:
    assert python_for(NEWEST, lambda _: True) == NEWEST.pythons[0]
    assert python_for(NEWEST, lambda name: name == "python3.12") == "3.12"
    assert missing(NEWEST, lambda _: True) == ""
    assert missing(NEWEST, lambda name: name == "python3.12") == "no Python 3.14 or 3.13"


def test_the_pythons_that_are_missing_are_named() -> None:
    with pytest.raises(Unready, match=r"^no Python 3\.11 or 3\.12 with the venv module on the PATH$"):
        python_for(OLDEST, lambda _: False)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda one: one.onnxruntime)
def test_every_package_has_one_exact_version(environment: object) -> None:
    lines = constraints(PINNED, environment).splitlines()  # type: ignore[arg-type]
    for name in NEEDS:
        assert len([line for line in lines if re.fullmatch(rf"{name}==[\w.]+", line)]) == 1
    assert f"onnxruntime=={environment.onnxruntime}" in lines  # type: ignore[attr-defined]


def test_what_other_languages_lack_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unready, match=r"^node, npm: not found; on Debian, apt install nodejs npm$"):
        node.replayer("onnxruntime-node", tmp_path, lambda _: None)
