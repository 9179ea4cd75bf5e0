from sparcl_compile.passes.gradients.filter_choice import WHOLE, held_bytes, most_sparing
from sparcl_compile.passes.gradients.filter_costs import Layer, cheapest, seconds
from sparcl_compile.passes.gradients.window import Window


def square(channels: int, size: int) -> Layer:
    """A 3 x 3 convolution that keeps the plane."""
    plane, one = (size, size), (1, 1)
    return Layer(Window((3, 3), one, one, one, one, 1, plane, plane), channels, channels)


def test_a_fast_form_that_holds_much_is_left_for_a_sparing_one() -> None:
    layer = square(20, 32)
    fast, sparing = cheapest(layer), most_sparing(layer)
    assert held_bytes(layer, sparing) < 0.6 * held_bytes(layer, fast)
    assert seconds(fast, layer) <= seconds(sparing, layer) < 1.5 * seconds(fast, layer)  # type: ignore[operator]


def test_the_fastest_form_stays_where_it_holds_least() -> None:
    layer = square(512, 4)
    assert most_sparing(layer) == cheapest(layer) == "batch"


def test_forms_that_are_left_out_are_not_taken() -> None:
    assert most_sparing(square(20, 32), WHOLE) not in WHOLE
