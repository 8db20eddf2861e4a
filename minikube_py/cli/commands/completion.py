"""completion: shell code that completes commands."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print completion code; for bash: source <(minikube-py completion bash)"""
    from click.shell_completion import get_completion_class

    from minikube_py.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "minikube-py", "_MINIKUBE_PY_COMPLETE").source())
