"""scale: set how many replicas a workload has."""

import click

from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Session, parse_targets, with_session


@click.command("scale")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME...")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="The new number of replicas.")
@namespace_option
@with_session
def command(session: Session, targets: tuple[str, ...], replicas: int, namespace: str) -> None:
    """Set the number of replicas of a Deployment or ReplicaSet."""
    for resource, name in parse_targets(session, targets):
        session.patch(resource.path(namespace, name, "scale"), {"spec": {"replicas": replicas}})
        session.say(f"{resource.full_name}/{name} scaled")
