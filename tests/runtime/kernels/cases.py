"""Random convolutions for hypothesis: any stride, padding, dilation and batch, densities from 0 to 1."""

from hypothesis import assume
from hypothesis import strategies as st

from tests.runtime.kernels.sparse import Case


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = st.integers(1, 12)
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    pad = st.integers(0, 3)
    case = Case(
        batch=draw(st.sampled_from([1, 2, 5, 8, 16, 17, 31, 32, 48, 64, 100])),
        channels=draw(st.integers(1, 20)),
        outputs=draw(st.integers(1, 20)),
        height=draw(size),
        width=draw(st.integers(1, 20)),
        kernel=kernel,
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        pads=(draw(pad), draw(pad), draw(pad), draw(pad)),
        dilations=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        density=draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        seed=draw(st.integers(0, 1000)),
    )
    assume(min(case.out()) >= 1)
    return case
