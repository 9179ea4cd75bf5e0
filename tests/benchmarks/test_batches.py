from click.testing import CliRunner

from benchmarks.batches import DENSE, lines, main
from benchmarks.processes import AtOnce


def test_a_ratio_stands_beside_its_share_of_the_largest_batch_s() -> None:
    seconds = {(DENSE, 8): 0.4, (DENSE, 32): 1.2, ("sparse", 8): 0.1, ("sparse", 32): 0.24}
    shown = [line.split() for line in lines(seconds, ("sparse",), (8, 32), threads=4)]
    assert shown == [["4", "8", "sparse", "100.0", "4.00", "80%"], ["4", "32", "sparse", "240.0", "5.00", "100%"]]


def test_copies_take_their_step_at_the_same_time() -> None:
    events = []

    class Copy:
        def __init__(self, name: str, seconds: float) -> None:
            self.name, self.seconds = name, seconds

        def start(self) -> None:
            events.append(f"{self.name} starts")

        def wait(self) -> list[float]:
            events.append(f"{self.name} is done")
            return [self.seconds, 2 * self.seconds]

    assert AtOnce([Copy("one", 1.0), Copy("other", 3.0)])() == [2.0, 4.0]  # type: ignore[list-item]
    assert events == ["one starts", "other starts", "one is done", "other is done"]


def test_more_copies_than_cores_are_refused() -> None:
    outcome = CliRunner().invoke(main, ["--copies", "100000"])
    assert outcome.exit_code == 2
    assert "--copies 100000: there are" in outcome.output
