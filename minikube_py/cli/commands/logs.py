"""logs: what a pod's containers have printed."""

import sys

import click

from minikube_py.cli.main import Failure
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Session, must_exist, with_session


@click.command("logs")
@click.argument("target", metavar="POD | TYPE/NAME")
@namespace_option
@click.option("-c", "--container", default="", help="The container (default: the first).")
@click.option("--all-containers", is_flag=True, help="Every container, one after the other.")
@click.option("-f", "--follow", is_flag=True, help="Go on as more is printed.")
@click.option("--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("--tail", type=int, default=-1, help="Only the last lines.")
@click.option("--since", default="", help="Only what is newer, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Show when each line was printed.")
@with_session
def command(
    session: Session,
    target: str,
    namespace: str,
    container: str,
    all_containers: bool,
    follow: bool,
    previous: bool,
    tail: int,
    since: str,
    timestamps: bool,
) -> None:
    """Print the log of a pod, or of the first pod of a workload."""
    pod = pod_of(session, target, namespace)
    spec = pod["spec"]
    every = [c["name"] for c in (*(spec.get("initContainers") or ()), *spec["containers"])]
    names = every if all_containers else [container or spec["containers"][0]["name"]]
    query = {
        "follow": follow or None,
        "previous": previous or None,
        "tailLines": None if tail < 0 else tail,
        "sinceSeconds": parse_duration(since) if since else None,
        "timestamps": timestamps or None,
    }
    pods = session.find("pods")
    for name in names:
        path = pods.path(namespace, pod["metadata"]["name"], "log")
        for line in session.stream(path, "*/*", container=name, **query):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def pod_of(session: Session, target: str, namespace: str) -> Obj:
    """The pod that is named, or the first pod that a workload (`deploy/web`) selects."""
    if "/" not in target:
        return must_exist(session, session.find("pods"), namespace, target)
    type, _, name = target.partition("/")
    resource = session.find(type)
    found = must_exist(session, resource, namespace, name)
    if resource.plural == "pods":
        return found
    selector = found["spec"].get("selector") or {}
    labels = selector.get("matchLabels", selector)
    if not labels:
        raise Failure(f"{target} selects no pods")
    query = ",".join(f"{key}={value}" for key, value in labels.items())
    pods: list[Obj] = session.get(session.find("pods").path(namespace), labelSelector=query)["items"]
    if not pods:
        raise Failure(f"{target} has no pod yet", f"see: minikube-py describe {target}")
    return min(pods, key=lambda pod: (pod["status"].get("phase") != "Running", pod["metadata"]["name"]))


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `10m`, `2h` or their sums (`1h30m`); a plain number counts seconds."""
    total, number = 0.0, ""
    for char in text:
        if char in "hms":
            total += float(number or 0) * {"h": 3600, "m": 60, "s": 1}[char]
            number = ""
        elif char.isdigit() or char == ".":
            number += char
        else:
            raise click.UsageError(f'"{text}" is no duration; write 90s, 10m or 1h30m')
    return int(total + float(number or 0))
