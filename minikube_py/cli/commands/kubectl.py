"""kubectl: the real kubectl on this cluster."""

import os
import shutil

import click

from minikube_py.cli.main import Failure
from minikube_py.cli.session import Session, with_session


@click.command("kubectl", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_session
def command(session: Session, arguments: tuple[str, ...]) -> None:
    """Run the installed kubectl against this cluster, whatever its current context is."""
    program = shutil.which("kubectl")
    if program is None:
        raise Failure(
            "kubectl is not installed",
            "see https://kubernetes.io/docs/tasks/tools/, or use minikube-py get, apply, logs, exec ...",
        )
    config = session.profile.folder / "kubeconfig"
    if not config.exists():
        raise Failure(f'there is no cluster "{session.profile.name}"', "make one with: minikube-py start")
    os.execv(program, [program, f"--kubeconfig={config}", *arguments])
