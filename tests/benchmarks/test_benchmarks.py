import click
import pytest

from benchmarks.contestants import BASELINES, CONTESTANTS, QUICK
from benchmarks.step import AT_ONCE, Memory, chosen, groups, rows, sized, times_of


def test_every_contestant_or_those_that_are_named() -> None:
    assert chosen(()) == list(CONTESTANTS)
    assert [one.name for one in chosen(("channel-0.75", "pytorch-dense"))] == ["pytorch-dense", "channel-0.75"]
    folded = {one.name: one.fold for one in CONTESTANTS if one.scheme == "channel"}
    assert folded == {"channel-0.75-masked": False, "channel-0.75": True, "channel-0.90": True, "channel-0.95": True}


def test_an_unknown_contestant_is_refused_with_the_names() -> None:
    with pytest.raises(click.UsageError, match="--only channel: give one of pytorch-dense, ort-dense"):
        chosen(("channel",))


def test_ratios_are_to_the_dense_steps_of_the_same_model() -> None:
    settings = chosen(("pytorch-dense", "compressed-0.90", "mlp-pytorch-dense", "mlp-ort-dense", "mlp-compressed-0.90"))
    seconds = dict(zip((one.name for one in settings), (8.0, 2.0, 6.0, 3.0, 1.0), strict=True))
    times = {name: found for group in groups(settings) for name, found in times_of(group, seconds).items()}
    table = {row.name: row for row in rows(settings, times, dict.fromkeys(seconds, Memory(1, 1, None)))}
    assert table["compressed-0.90"].ratio_to_pytorch == 4.0
    assert table["compressed-0.90"].ratio_to_ort_dense is None
    assert table["mlp-compressed-0.90"].ratio_to_pytorch == 6.0
    assert table["mlp-compressed-0.90"].ratio_to_ort_dense == 3.0


def test_a_few_contestants_at_a_time_take_turns_with_the_dense_steps_of_their_model() -> None:
    found = groups(CONTESTANTS)
    timed = [one.name for group in found for one in group if not one.name.endswith(BASELINES)]
    assert sorted(timed) == sorted(one.name for one in CONTESTANTS if not one.name.endswith(BASELINES))
    for group in found:
        assert len({one.model for one in group}) == 1
        assert [one.name.endswith(BASELINES) for one in group][:3] == [True, True, False]
        assert len(group) <= AT_ONCE + len(BASELINES)
    assert groups(chosen(("pytorch-dense",))) == [chosen(("pytorch-dense",))]


def test_every_model_has_its_dense_steps_masks_and_kept_weights() -> None:
    for model in {one.model for one in CONTESTANTS}:
        names = [one.name for one in CONTESTANTS if one.model == model]
        for end in (*BASELINES, "compressed-0.90"):
            assert len([name for name in names if name.endswith(end)]) == 1, (model, end)
        assert any("masked" in name for name in names)


def test_a_short_look_has_contestants_of_the_main_model() -> None:
    assert {one.model for one in chosen(QUICK)} == {"resnet18-w64"}
    assert {one.name for one in chosen(QUICK)} == set(QUICK)


def test_the_width_is_that_of_the_main_model() -> None:
    widths = {one.name: sized(one, 8).width for one in CONTESTANTS}
    assert (widths["ort-dense"], widths["narrow-ort-dense"], widths["mlp-ort-dense"]) == (8, 20, 1024)
