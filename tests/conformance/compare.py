"""Whether a driver is accepted: ``python -m tests.conformance.compare KIT TRACE.json``."""

import json
from pathlib import Path

import click

from tests.conformance.kit import FOLDER, TRACE
from tests.conformance.learning import CALLS, LEARNER
from tests.conformance.trace import differences

RECORDED = {
    **{path.parent.name: path for path in sorted(FOLDER.glob(f"*/{TRACE}"))},
    LEARNER: FOLDER / LEARNER / CALLS,
}
"""The file of each kit that a trace is compared with."""
SHOWN = 20


@click.command()
@click.argument("kit", type=click.Choice(sorted(RECORDED)))
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(kit: str, trace: Path) -> None:
    """Compare a trace with the recorded one; exit code 1 where they differ."""
    recorded = json.loads(RECORDED[kit].read_text(encoding="utf-8"))
    try:
        found = list(differences(json.loads(trace.read_text(encoding="utf-8")), recorded))
    except ValueError as error:
        raise click.UsageError(f"{trace}: is no JSON ({error}); write the trace as README.md says") from error
    for line in found[:SHOWN]:
        click.echo(line)
    if found:
        click.echo(f"{kit}: {len(found)} differences; the first one is the place to look at")
        raise SystemExit(1)
    click.echo(f"{kit}: accepted")


if __name__ == "__main__":
    main()
