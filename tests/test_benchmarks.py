import click
import pytest

from benchmarks.contestants import CONTESTANTS
from benchmarks.step import chosen


def test_every_contestant_or_those_that_are_named() -> None:
    assert chosen(()) == list(CONTESTANTS)
    assert [one.name for one in chosen(("channel-0.75", "pytorch-dense"))] == ["pytorch-dense", "channel-0.75"]
    folded = {one.name: one.fold for one in CONTESTANTS if one.scheme == "channel"}
    assert folded == {"channel-0.75-masked": False, "channel-0.75": True, "channel-0.90": True, "channel-0.95": True}


def test_an_unknown_contestant_is_refused_with_the_names() -> None:
    with pytest.raises(click.UsageError, match="--only channel: give one of pytorch-dense, ort-dense"):
        chosen(("channel",))
