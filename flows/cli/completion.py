"""The command that lets a shell complete the words of ``jko``."""

from __future__ import annotations

import click

from flows.cli.commands import Command
from tasks.adapters.system.terminal import say

#: of the variable by which a shell asks for words; click's own name for ``jko``
VARIABLE = "_JKO_COMPLETE"


@click.command(cls=Command, example="jko completion bash")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what lets a shell complete jko's words.

    Commands, options, presets and chains are completed. For bash put this line into ~/.bashrc, for zsh
    the same with zsh into ~/.zshrc:

    eval "$(jko completion bash)"

    For fish:

    jko completion fish > ~/.config/fish/completions/jko.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    kind = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    say(kind(context.find_root().command, {}, "jko", VARIABLE).source().rstrip("\n"))
