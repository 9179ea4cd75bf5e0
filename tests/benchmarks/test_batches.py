from benchmarks.batches import DENSE, lines


def test_a_ratio_stands_beside_its_share_of_the_largest_batch_s() -> None:
    seconds = {(DENSE, 8): 0.4, (DENSE, 32): 1.2, ("sparse", 8): 0.1, ("sparse", 32): 0.24}
    shown = [line.split() for line in lines(seconds, ("sparse",), (8, 32), threads=4)]
    assert shown == [["4", "8", "sparse", "100.0", "4.00", "80%"], ["4", "32", "sparse", "240.0", "5.00", "100%"]]
