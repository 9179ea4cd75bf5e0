"""Names of classes and their places in a head."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.learner.classes import Classes
from tests.support import described

SIZE = 5
NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=12)


def classes(*names: str) -> Classes:
    manifest = described.manifest()
    head = dataclasses.replace(manifest.model, classes=SIZE)
    return Classes(Artifact(Path("made_up.sparcl"), dataclasses.replace(manifest, model=head)), names)


@given(first=NAMES, second=NAMES)
def test_names_keep_their_places_and_new_ones_take_the_next(first: list[str], second: list[str]) -> None:
    made = classes()
    for names in (first, second):
        before = made.names
        new = [name for name in dict.fromkeys(names) if name not in before]
        if len(before) + len(new) > SIZE:
            with pytest.raises(DataError, match=f"--classes {len(before) + len(new)}$"):
                made.take(names)
            assert made.names == before
            continue
        made.take(names)
        assert made.names == (*before, *new)
        assert [made.names[place] for place in made.places(names)] == names


def test_the_first_name_without_a_place_is_told() -> None:
    made = classes("a", "b", "c", "d")
    with pytest.raises(DataError, match=r"'f' is new, and the head of made_up.sparcl has 5 classes, all taken"):
        made.take(["a", "e", "f", "g"])


def test_classes_to_choose_among() -> None:
    made = classes("a", "b", "c")
    assert made.chosen(None, None, []) == [0, 1, 2]
    assert made.chosen(["c", "a", "c"], None, []) == [0, 2]
    assert made.chosen(None, 1, [[0], [1, 2]]) == [1, 2]
    for names, task in ((["x"], None), ([], None), (None, 2), (None, -1), (["a"], 0)):
        with pytest.raises(DataError):
            made.chosen(names, task, [[0], [1, 2]])
    with pytest.raises(DataError, match="there are none to choose among"):
        classes().chosen(None, None, [])
