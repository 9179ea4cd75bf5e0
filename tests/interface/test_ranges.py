"""Checks of ranges: what is no number is answered like a number out of range."""

import pytest

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.settings.options import CompileOptions


@pytest.mark.parametrize(
    ("value", "shown"), [("0.8", "'0.8'"), ("much", "'much'"), (1.0, "1.0"), (float("nan"), "nan")]
)
@pytest.mark.parametrize("field", ["sparsity", "data_removal"])
def test_a_share_that_is_none_is_refused_with_an_example(field: str, value: object, shown: str) -> None:
    with pytest.raises(FieldError, match=rf"`{field}` {shown}: give a number from 0 \(off\) to below 1"):
        CompileOptions(**{field: value})  # type: ignore[arg-type]


def test_a_text_as_a_number_is_refused() -> None:
    with pytest.raises(FieldError, match=r"`weight_decay` '0\.1': give a number from 0"):
        CompileOptions(weight_decay="0.1")  # type: ignore[arg-type]
