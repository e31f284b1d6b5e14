"""``align completion``: the script that lets a shell complete commands, options and their words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_WHERE = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/align.fish"}
"""The file that each shell reads at its start."""


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete an argument that is most often a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


@click.command(short_help="Print a completion script for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(list(_WHERE)))
def completion(shell: str) -> int:
    """Print the script that lets a shell complete commands, options and their words.

    \b
    align completion bash >> ~/.bashrc
    align completion zsh >> ~/.zshrc
    align completion fish > ~/.config/fish/completions/align.fish
    """
    from click.shell_completion import get_completion_class

    group = click.get_current_context().find_root().command
    of_shell = get_completion_class(shell)
    assert of_shell is not None  # click knows all three
    source = of_shell(group, {}, "align", "_ALIGN_COMPLETE")
    line = "# append this to " + _WHERE[shell]
    click.echo(f"{line}\n{(source.source_template % source.source_vars()).strip()}")
    return 0
