"""One call that learns at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sparcl_compile.interface.errors import DataError


class Turn:
    """Held by the call that learns, in whose middle no other may, nor may the task end or the learner close.

    Args:
        state: folder of the state, for messages.
    """

    def __init__(self, state: Path) -> None:
        self._state, self._taken = state, False

    def check(self) -> None:
        """Raise DataError while a call learns: this one is from its progress function, or from another thread."""
        if self._taken:
            raise DataError(
                f"{self._state}: another call is learning; wait for its end, or return False from its progress "
                "function, which may ask, `save`, and `observe` with steps=0"
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it; raises DataError where another call does."""
        self.check()
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
