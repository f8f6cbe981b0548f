"""``unlearnkit completion``: the script that makes a shell complete commands, options and component names."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL: bash (4.4 or later), zsh or fish.

    \b
    bash: echo 'eval "$(unlearnkit completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(unlearnkit completion zsh)"' >> ~/.zshrc    (below compinit)
    fish: unlearnkit completion fish > ~/.config/fish/completions/unlearnkit.fish

    Open a new shell; then 'unlearnkit run --method <TAB>' lists the installed methods.
    """
    from click.shell_completion import get_completion_class

    from unlearnkit.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click has no completion for {shell}; upgrade click")
    click.echo(found(cli, {}, "unlearnkit", "_UNLEARNKIT_COMPLETE").source())
