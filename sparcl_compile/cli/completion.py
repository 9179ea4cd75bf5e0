"""Scripts by which a shell completes the options of the commands; click makes each command's."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from sparcl_compile.cli.guides import GUIDES

CLASSES: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
SHELLS = (*CLASSES,)


def script(shell: str) -> str:
    """The script for all commands, which the shell evaluates when it starts."""
    return "\n".join(_source(CLASSES[shell], f"sparcl-{name}") for name in GUIDES)


def _source(made: type[ShellComplete], command: str) -> str:
    variable = f"_{command}_COMPLETE".replace("-", "_").upper()
    return made(click.Command(command), {}, command, variable).source()
