"""``python -m tests.fuzz``: run cases until the time or their number is over; faults give exit code 1."""

import argparse
import collections
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import material
from tests.fuzz.judge import Verdict
from tests.fuzz.targets import numbers
from tests.fuzz.worker import Worker


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the cases are those of this seed (0)")
    parser.add_argument("--seconds", type=float, default=60, help="begin no case after this time (60)")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="stop after this many cases")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case (0)")
    parser.add_argument("--only", default="", help="targets whose names hold this text; numbers then mean other cases")
    parser.add_argument("--keep", type=Path, help="keep the folders of cases with faults here")
    return parser.parse_args()


def _verdicts(args: argparse.Namespace, sound: Path) -> Iterator[tuple[int, Verdict]]:
    worker = Worker(sound, args.seed, args.only, args.keep)
    end = time.monotonic() + args.seconds
    try:
        for number in itertools.islice(_numbers(args), args.cases):
            if time.monotonic() >= end:
                return
            yield number, worker.run(number)
    finally:
        worker.stop()


def _numbers(args: argparse.Namespace) -> Iterator[int]:
    """One after the other where some targets are chosen, else with those of the targets that came later."""
    return itertools.count(args.first) if args.only else numbers(args.first)


def main() -> int:
    """Run the cases and print every kind of fault once, with the number of its first case."""
    args = _arguments()
    ends: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    kinds: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="sparcl-fuzz-") as folder:
        material.make(Path(folder))
        for number, verdict in _verdicts(args, Path(folder)):
            ends[verdict.target]["fault" if verdict.faults else "done" if verdict.code == 0 else "refused"] += 1
            kinds.update((verdict.target, kind) for kind in verdict.faults)
            for kind in (kind for kind in verdict.faults if kinds[verdict.target, kind] == 1):
                case = f"case {number} of seed {args.seed}, {verdict.target}"
                print(f"{case}: {kind}\n{verdict.faults[kind]}", flush=True)
    _summarise(ends, kinds)
    return 1 if kinds else 0


def _summarise(ends: dict[str, collections.Counter[str]], kinds: collections.Counter[tuple[str, str]]) -> None:
    for target, counts in sorted(ends.items()):
        told = ", ".join(f"{counts[end]} {end}" for end in ("done", "refused", "fault"))
        print(f"{target:18} {sum(counts.values()):6} cases: {told}")
    for (target, kind), count in kinds.most_common():
        print(f"{count:6} x {target}: {kind}")
    print(f"{sum(sum(counts.values()) for counts in ends.values())} cases, {sum(kinds.values())} faults")


if __name__ == "__main__":
    sys.exit(main())
