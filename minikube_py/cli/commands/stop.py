"""stop: end the cluster, keep its state."""

import click

from minikube_py.cli.lifecycle import stop_cluster
from minikube_py.cli.session import Session, with_session


@click.command("stop")
@with_session
def command(session: Session) -> None:
    """End pods, containerd and the process; `start` brings everything back."""
    if not stop_cluster(session.profile, session.say):
        session.say(f'cluster "{session.profile.name}" does not run')
