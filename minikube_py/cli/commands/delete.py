"""delete: objects by file, name or label; without any, the cluster itself."""

import json
import time

import click

from minikube_py.cli.commands.apply import read_objects
from minikube_py.cli.commands.logs import parse_duration
from minikube_py.cli.main import Failure
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Resource, Session, parse_targets, with_session
from minikube_py.errors import NotFound


@click.command("delete")
@click.argument("targets", nargs=-1, metavar="[TYPE NAME... | TYPE/NAME...]")
@click.option("-f", "--filename", "names", multiple=True, help="Delete what these files name.")
@click.option("-l", "--selector", default="", help="Label selector.")
@click.option("--all", "everything", is_flag=True, help="Every object of the TYPE in the namespace.")
@click.option("--wait/--no-wait", default=True, help="Wait until the objects are gone.")
@click.option("--grace-period", type=int, default=None, help="Seconds that pods have to end.")
@click.option("--timeout", default="5m", show_default=True, help="Give up waiting after.")
@namespace_option
@with_session
def command(
    session: Session,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    selector: str,
    everything: bool,
    wait: bool,
    grace_period: int | None,
    timeout: str,
    namespace: str,
) -> None:
    """Delete objects; `minikube-py delete` alone deletes the whole cluster and leaves nothing behind."""
    if not targets and not names:
        from minikube_py.cli.lifecycle import delete_cluster

        delete_cluster(session.profile, session.say)
        return
    found = [_of_file(session, obj, namespace) for obj in read_objects(names)]
    for resource, name in parse_targets(session, targets) if targets else ():
        if name:
            found.append((resource, namespace, name))
        elif selector or everything:
            listed = session.get(resource.path(namespace), labelSelector=selector)["items"]
            found += [(resource, namespace, item["metadata"]["name"]) for item in listed]
        else:
            raise Failure(
                "resource(s) were provided, but no name was specified", "name one, or use -l or --all"
            )
    options = {"propagationPolicy": "Background"} | (
        {} if grace_period is None else {"gracePeriodSeconds": grace_period}
    )
    missing = sum(not _delete(session, *target, options) for target in found)
    if wait:
        deadline = time.monotonic() + parse_duration(timeout)
        for target in found:
            _wait_gone(session, *target, deadline)
    if missing:
        raise click.exceptions.Exit(1)


def _of_file(session: Session, obj: Obj, namespace: str) -> tuple[Resource, str, str]:
    resource = session.find_kind(obj["apiVersion"], obj["kind"])
    meta = obj.get("metadata") or {}
    return resource, meta.get("namespace") or namespace, meta.get("name") or ""


def _delete(session: Session, resource: Resource, namespace: str, name: str, options: Obj) -> bool:
    try:
        session.send("DELETE", resource.path(namespace, name), options)
    except NotFound as error:
        click.echo(f"Error from server (NotFound): {error.message}", err=True)
        return False
    session.say(f'{resource.full_name} "{name}" deleted')
    return True


def _wait_gone(session: Session, resource: Resource, namespace: str, name: str, deadline: float) -> None:
    try:
        found = session.get(resource.path(namespace, name))
    except NotFound:
        return
    seconds = max(1, int(deadline - time.monotonic()))
    lines = session.stream(
        resource.path(namespace),
        watch=True,
        fieldSelector=f"metadata.name={name}",
        resourceVersion=found["metadata"]["resourceVersion"],
        timeoutSeconds=seconds,
    )
    if not any(json.loads(line)["type"] == "DELETED" for line in lines):
        raise Failure(
            f"{resource.full_name}/{name} is still there",
            f"what holds it: minikube-py describe {resource.singular} {name}",
        )
