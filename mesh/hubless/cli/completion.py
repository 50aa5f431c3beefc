"""`mesh completion`: the shell knows the commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hubless.cli.exits import Exit


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> Exit:
    """Print the completion script of SHELL.

    \b
    eval "$(mesh completion bash)"        in ~/.bashrc
    eval "$(mesh completion zsh)"         in ~/.zshrc
    mesh completion fish | source         in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    click.echo(kind(ctx.find_root().command, {}, "mesh", "_MESH_COMPLETE").source())
    return Exit.OK
