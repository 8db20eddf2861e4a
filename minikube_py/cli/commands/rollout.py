"""rollout: follow, restart and undo the rollout of a workload."""

import json
from datetime import UTC, datetime

import click

from minikube_py.cli import output
from minikube_py.cli.commands.logs import parse_duration
from minikube_py.cli.main import Failure
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Resource, Session, must_exist, parse_targets, with_session

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"


@click.group("rollout")
def command() -> None:
    """Follow, restart, undo, pause or resume a rollout."""


def _target(session: Session, words: tuple[str, ...]) -> tuple[Resource, str]:
    resource, name = parse_targets(session, words)[0]
    if not name:
        raise click.UsageError("say which: TYPE NAME or TYPE/NAME")
    return resource, name


@command.command("status")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE/NAME")
@click.option("--timeout", default="", help="Give up after, such as 60s.")
@namespace_option
@with_session
def status(session: Session, targets: tuple[str, ...], timeout: str, namespace: str) -> None:
    """Wait until the rollout is done, and say how far it is."""
    resource, name = _target(session, targets)
    said = ""
    first = must_exist(session, resource, namespace, name)
    query = {"fieldSelector": f"metadata.name={name}", "resourceVersion": first["metadata"]["resourceVersion"]}
    if timeout:
        query["timeoutSeconds"] = str(parse_duration(timeout))
    message, done = progress(first)
    session.say(message)
    if done:
        return
    for line in session.stream(resource.path(namespace), watch=True, **query):
        event = json.loads(line)
        if event["type"] == "DELETED":
            raise Failure(f"{resource.full_name}/{name} was deleted")
        said, (message, done) = message, progress(event["object"])
        if message != said:
            session.say(message)
        if done:
            return
    raise Failure("timed out waiting for the rollout", f"see: minikube-py describe {resource.singular} {name}")


def progress(obj: Obj) -> tuple[str, bool]:
    """What kubectl says of a rollout, and whether it is done. Errors: Failure past the progress deadline."""
    kind, name, spec, state = obj["kind"], obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    if state.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return f"Waiting for {kind.lower()} spec update to be observed...", False
    if kind == "DaemonSet":
        want, updated = state.get("desiredNumberScheduled", 0), state.get("updatedNumberScheduled", 0)
        ready = state.get("numberAvailable", 0)
        if updated < want:
            text = f"{updated} out of {want} new pods have been updated..."
            return f'Waiting for daemon set "{name}" rollout to finish: {text}', False
        if ready < want:
            text = f"{ready} of {want} updated pods are available..."
            return f'Waiting for daemon set "{name}" rollout to finish: {text}', False
        return f'daemon set "{name}" successfully rolled out', True
    for condition in state.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise Failure(f'deployment "{name}" exceeded its progress deadline')
    want, updated = spec.get("replicas", 1), state.get("updatedReplicas", 0)
    total, available = state.get("replicas", 0), state.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < want:
        return f"{waiting}{updated} out of {want} new replicas have been updated...", False
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


@command.command("restart")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE/NAME...")
@namespace_option
@with_session
def restart(session: Session, targets: tuple[str, ...], namespace: str) -> None:
    """Replace the pods, a few at a time."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    for resource, name in parse_targets(session, targets):
        session.patch(resource.path(namespace, name), {"spec": {"template": template}})
        session.say(f"{resource.full_name}/{name} restarted")


@command.command("pause")
@click.argument("targets", nargs=-1, required=True, metavar="deployment/NAME...")
@namespace_option
@with_session
def pause(session: Session, targets: tuple[str, ...], namespace: str) -> None:
    """Hold a Deployment's rollout."""
    _set_paused(session, targets, namespace, True)


@command.command("resume")
@click.argument("targets", nargs=-1, required=True, metavar="deployment/NAME...")
@namespace_option
@with_session
def resume(session: Session, targets: tuple[str, ...], namespace: str) -> None:
    """Let a Deployment's rollout go on."""
    _set_paused(session, targets, namespace, False)


def _set_paused(session: Session, targets: tuple[str, ...], namespace: str, paused: bool) -> None:
    for resource, name in parse_targets(session, targets):
        session.patch(resource.path(namespace, name), {"spec": {"paused": paused or None}})
        session.say(f"{resource.full_name}/{name} {'paused' if paused else 'resumed'}")


def _revisions(session: Session, deployment: Obj, namespace: str) -> dict[int, Obj]:
    """A Deployment's ReplicaSets by their revision."""
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    query = ",".join(f"{key}={value}" for key, value in labels.items())
    sets = session.get(session.find("replicasets.apps").path(namespace), labelSelector=query)["items"]
    uid = deployment["metadata"]["uid"]
    owned = [s for s in sets if any(o["uid"] == uid for o in s["metadata"].get("ownerReferences") or ())]
    return {int((s["metadata"].get("annotations") or {}).get(REVISION, 0)): s for s in owned}


@command.command("history")
@click.argument("targets", nargs=-1, required=True, metavar="deployment/NAME")
@namespace_option
@with_session
def history(session: Session, targets: tuple[str, ...], namespace: str) -> None:
    """Show a Deployment's revisions."""
    resource, name = _target(session, targets)
    found = _revisions(session, must_exist(session, resource, namespace, name), namespace)
    rows = [["REVISION", "CHANGE-CAUSE"]]
    for number, replica_set in sorted(found.items()):
        rows.append([str(number), (replica_set["metadata"].get("annotations") or {}).get(CAUSE, "<none>")])
    session.say(f"{resource.full_name}/{name}\n{output.table(rows)}")


@command.command("undo")
@click.argument("targets", nargs=-1, required=True, metavar="deployment/NAME")
@click.option("--to-revision", type=int, default=0, help="The revision (default: the one before).")
@namespace_option
@with_session
def undo(session: Session, targets: tuple[str, ...], to_revision: int, namespace: str) -> None:
    """Go back to an earlier revision of a Deployment."""
    resource, name = _target(session, targets)
    deployment = must_exist(session, resource, namespace, name)
    found = _revisions(session, deployment, namespace)
    current = int((deployment["metadata"].get("annotations") or {}).get(REVISION, 0))
    earlier = [number for number in found if number != current]
    wanted = to_revision or (max(earlier) if earlier else 0)
    if wanted not in found:
        raise Failure(
            f"unable to find revision {wanted} of deployment {name!r}" if to_revision else "no rollout history",
            f"see: minikube-py rollout history {resource.singular}/{name}",
        )
    template = found[wanted]["spec"]["template"]
    labels = {k: v for k, v in (template["metadata"].get("labels") or {}).items() if k != "pod-template-hash"}
    body = [
        {
            "op": "replace",
            "path": "/spec/template",
            "value": {**template, "metadata": {**template["metadata"], "labels": labels}},
        }
    ]
    session.patch(resource.path(namespace, name), body, "application/json-patch+json")
    session.say(f"{resource.full_name}/{name} rolled back")
