"""The command line: `minikube-py [-p PROFILE] COMMAND`; `-p` may stand behind the command as well.

A command is a file in `commands/` that defines `command`; it is imported only when it is called, so that
`get` answers within 0.2 s. Errors are one line with the way out; `-v` shows more.
"""

import importlib
import os
import pkgutil
import sys
from typing import Any

import click

from minikube_py.cli import commands
from minikube_py.errors import ApiError


class Failure(click.ClickException):
    """An error for the user: one sentence, and what to do about it."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {self.message}", err=True)
        if self.advice:
            click.echo(f"  {self.advice}", err=True)


class Commands(click.Group):
    """The commands folder as a click group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return sorted(name.replace("_", "-") for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        if not any(module.name == name for module in pkgutil.iter_modules(commands.__path__)):
            return None
        found = importlib.import_module(f"{commands.__name__}.{name}").command
        assert isinstance(found, click.Command)
        return with_profile(found)


def with_profile(command: click.Command) -> click.Command:
    """The command, which takes the profile behind its name too; a short option of its own stays its own."""
    taken = {text for parameter in command.params for text in parameter.opts}
    passes_on = command.context_settings.get("ignore_unknown_options", False)
    if not passes_on and "--profile" not in taken:
        names = [name for name in ("-p", "--profile") if name not in taken]
        command.params.append(click.Option(names, expose_value=False, callback=_choose, hidden=True))
    return command


def _choose(ctx: click.Context, _: click.Parameter, profile: str | None) -> None:
    if profile:
        ctx.obj["profile"] = profile


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-p",
    "--profile",
    envvar="MINIKUBE_PY_PROFILE",
    default="minikube-py",
    show_default=True,
    help="The cluster.",
)
@click.option("-v", "--verbose", count=True, help="Say more; twice: with tracebacks.")
@click.pass_context
def cli(ctx: click.Context, profile: str, verbose: int) -> None:
    """A real Kubernetes cluster in one Python process."""
    ctx.obj = {"profile": profile, "verbose": verbose}


def main() -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(prog_name="minikube-py", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ApiError as error:
        click.echo(f"Error from server ({error.reason}): {error.message}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if "-vv" in sys.argv:
            raise
        click.echo(f"error: {error or type(error).__name__}", err=True)
        click.echo("  run it again with -vv to see where it happened", err=True)
        sys.exit(1)
