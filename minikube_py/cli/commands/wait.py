"""wait: block until objects are as wanted."""

import json
import time
from collections.abc import Callable

import click

from minikube_py.cli.commands.logs import parse_duration
from minikube_py.cli.main import Failure
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Resource, Session, parse_targets, with_session
from minikube_py.errors import NotFound


@click.command("wait")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE NAME | TYPE/NAME...")
@click.option(
    "--for", "goal", required=True, help="condition=Ready[=True], delete, create or jsonpath={.a.b}=value."
)
@click.option("--timeout", default="30s", show_default=True, help="Give up after.")
@click.option("-l", "--selector", default="", help="Label selector, in place of names.")
@namespace_option
@with_session
def command(
    session: Session, targets: tuple[str, ...], goal: str, timeout: str, selector: str, namespace: str
) -> None:
    """Wait until every object meets the goal."""
    reached = parse_goal(goal)
    deadline = time.monotonic() + parse_duration(timeout)
    wanted = parse_targets(session, targets)
    if selector:
        listed = session.get(wanted[0][0].path(namespace), labelSelector=selector)["items"]
        wanted = [(wanted[0][0], item["metadata"]["name"]) for item in listed]
        if not wanted:
            raise Failure("no matching resources found")
    for resource, name in wanted:
        _wait(session, resource, namespace, name, reached, deadline)
        done = "deleted" if goal == "delete" else "condition met"
        session.say(f"{resource.full_name}/{name} {done}")


def parse_goal(goal: str) -> Callable[[Obj | None], bool]:
    """Whether an object (None: it does not exist) meets a goal. Errors: UsageError."""
    kind, _, rest = goal.partition("=")
    if kind == "delete":
        return lambda obj: obj is None
    if kind == "create":
        return lambda obj: obj is not None
    if kind == "condition" and rest:
        type, _, status = rest.partition("=")
        return lambda obj: obj is not None and _has_condition(obj, type, status or "True")
    if kind == "jsonpath" and rest.startswith("{."):
        path, _, value = rest.partition("}")
        steps, wanted = path[2:].split("."), value.removeprefix("=")
        return lambda obj: obj is not None and _at(obj, steps, wanted)
    raise click.UsageError(f'"{goal}" is no goal; write condition=Ready, delete, create or jsonpath={{.a.b}}=c')


def _has_condition(obj: Obj, type: str, status: str) -> bool:
    state = obj.get("status") or {}
    if state.get("observedGeneration", obj["metadata"].get("generation", 0)) < obj["metadata"].get(
        "generation", 0
    ):
        return False
    conditions = state.get("conditions") or ()
    return any(c["type"].lower() == type.lower() and c["status"].lower() == status.lower() for c in conditions)


def _at(obj: Obj, steps: list[str], wanted: str) -> bool:
    value: object = obj
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value is not None if not wanted else str(value).lower() == wanted.lower()


def _wait(
    session: Session,
    resource: Resource,
    namespace: str,
    name: str,
    reached: Callable[[Obj | None], bool],
    deadline: float,
) -> None:
    revision = ""
    try:
        found = session.get(resource.path(namespace, name))
        if reached(found):
            return
        revision = found["metadata"]["resourceVersion"]
    except NotFound:
        if reached(None):
            return
        if not reached({"metadata": {}}):
            raise
    seconds = max(1, int(deadline - time.monotonic()))
    events = session.stream(
        resource.path(namespace),
        watch=True,
        fieldSelector=f"metadata.name={name}",
        resourceVersion=revision,
        timeoutSeconds=seconds,
    )
    for line in events:
        event = json.loads(line)
        if reached(None if event["type"] == "DELETED" else event["object"]):
            return
    raise Failure(f"timed out waiting for the condition on {resource.plural}/{name}")
