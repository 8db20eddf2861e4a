"""What to do next for a pod: a pure decision from its spec and what is known of its containers.

Follows the pod lifecycle of the Kubernetes documentation: a sandbox first, init containers one after another
(sidecars, which restart always, stay), then the containers; restarts by policy and backoff. Ephemeral
containers run once, whenever they are added. Termination is not planned here (ending.py): it takes everything
down in order, also the sidecars of a pod whose containers have all ended.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Container, Sandbox

HASH_ANNOTATION = "io.kubernetes.container.hash"
DOUBTFUL = 'Container is in "unknown" state, try killing it before restart'


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a pod at `now` (seconds since the epoch). Newest first in each sequence."""

    now: float = 0.0
    sandboxes: Sequence[Sandbox] = ()
    containers: Mapping[str, Sequence[Container]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    """Container id > the probe that gave it up: liveness or startup."""
    started: Set[str] = frozenset()
    """Ids of running containers whose startup has succeeded."""
    not_before: Mapping[str, float] = field(default_factory=dict)
    """Container name > the earliest time of its next start (a backoff)."""
    resized: Set[str] = frozenset()
    """Ids of running containers whose new resources need a restart."""
    replaced: Set[str] = frozenset()
    """Names of containers stopped to be started anew, whatever the pod's restart policy."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Container name > restarts that the API knows of, where the runtime has forgotten the container."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Container name > exit code of a container that ran and that the runtime has forgotten."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start container `name` as its `attempt`-th restart."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a running container; `message` is the event that tells why, `probe` the one that gave it up. With
    `at_once` it is replaced without any backoff: nothing is wrong with it."""

    container: Container
    message: str = ""
    probe: str = ""
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Kills may run at once; `start` is in order and needs the sandbox; `retry_at` is when to plan again."""

    sandbox: int | None = None
    """The attempt number of a sandbox to create."""
    stop_sandboxes: tuple[str, ...] = ()
    kill: tuple[Kill, ...] = ()
    start: tuple[Start, ...] = ()
    backing_off: tuple[str, ...] = ()
    """Containers that wait for the end of their backoff."""
    retry_at: float | None = None
    finished: bool = False
    """Every container has run to its end: the pod is to be taken down, its phase is final."""


def container_hash(spec: Obj) -> str:
    """What makes a running container outdated: its name and image, as in Kubernetes."""
    return hashlib.blake2s(f"{spec['name']}\0{spec.get('image', '')}".encode(), digest_size=4).hexdigest()


def is_sidecar(spec: Obj) -> bool:
    """Whether an init container stays running beside the others (KEP-753)."""
    return spec.get("restartPolicy") == "Always"


def plan(pod: Obj, seen: Seen) -> Plan:
    """The next actions for a pod that is to run; an empty plan where all is as it should be."""
    spec = pod["spec"]
    newest = seen.sandboxes[0] if seen.sandboxes else None
    ready = [sandbox.id for sandbox in seen.sandboxes if sandbox.state == "ready"]
    if newest is None or newest.state != "ready" or len(ready) > 1:
        return _new_sandbox(spec, seen, newest)
    return _in_sandbox(spec, seen, newest.id)


def _new_sandbox(spec: Obj, seen: Seen, newest: Sandbox | None) -> Plan:
    attempt = 0 if newest is None else newest.attempt + 1
    running = tuple(
        Kill(container)
        for runs in seen.containers.values()
        for container in runs
        if container.state == "running"
    )
    ready = tuple(sandbox.id for sandbox in seen.sandboxes if sandbox.state == "ready")
    if (seen.containers or seen.lost) and not _wanted(spec, seen):
        return Plan(finished=True)
    if running or ready:
        return Plan(kill=running, stop_sandboxes=ready)
    if spec.get("restartPolicy") == "Never" and (seen.lost or _has_run(seen)):
        return Plan(finished=True)  # what has run once does not run again
    fresh = replace(seen, containers={})
    first = _in_sandbox(spec, fresh, "")
    wanted = set(_wanted(spec, seen)) | {c["name"] for c in spec.get("initContainers") or ()}
    starts = tuple(Start(s.name, _attempt(s.name, seen)) for s in first.start if s.name in wanted)
    return Plan(sandbox=attempt, start=starts)


def _wanted(spec: Obj, seen: Seen) -> list[str]:
    """The containers of the pod proper that have not yet run to an end that is final."""
    return [c["name"] for c in spec["containers"] if not _is_final(spec, c["name"], seen)]


def _has_run(seen: Seen) -> bool:
    return any(run.state != "created" for runs in seen.containers.values() for run in runs)


def _is_final(spec: Obj, name: str, seen: Seen) -> bool:
    code = _end(name, seen)
    if code is None or name in seen.replaced:
        return False
    policy = spec.get("restartPolicy", "Always")
    return policy == "Never" or (policy == "OnFailure" and code == 0)


def _end(name: str, seen: Seen) -> int | None:
    """The exit code of a container's newest run; None where it runs, or never ran."""
    if runs := seen.containers.get(name):
        return runs[0].exit_code if runs[0].state == "exited" else None
    return seen.lost.get(name)


def _in_sandbox(spec: Obj, seen: Seen, sandbox: str) -> Plan:
    here = {name: [run for run in runs if run.sandbox_id == sandbox] for name, runs in seen.containers.items()}
    ordinary = [c["name"] for c in spec["containers"]]
    if not _wanted(spec, seen):
        return Plan(finished=True)
    begun = any(here.get(name) for name in ordinary)
    due, blocked, failed = _init(spec, here, seen, begun)
    if failed:
        return Plan(finished=True)
    debuggers = [c["name"] for c in spec.get("ephemeralContainers") or ()]
    due += [name for name in debuggers if not seen.containers.get(name) and name not in seen.lost]
    kills = list(_kills(spec, here, seen))
    killed = {kill.container.name for kill in kills}
    if not blocked:
        for container in spec["containers"]:
            name = container["name"]
            runs = here.get(name) or []
            if name in killed or (runs and runs[0].state == "running"):
                continue
            if not _is_final(spec, name, seen):
                due.append(name)
    doubtful = [here[name][0] for name in due if here.get(name) and here[name][0].state == "unknown"]
    kills += [Kill(run, DOUBTFUL) for run in doubtful]  # it may run after all
    return _starts([name for name in due if name not in {run.name for run in doubtful}], kills, seen)


def _starts(due: list[str], kills: list[Kill], seen: Seen) -> Plan:
    """The starts among `due` whose backoff has ended, and when the next one ends."""
    waits = {name: seen.not_before.get(name, 0.0) for name in due}
    waiting = tuple(name for name in due if waits[name] > seen.now)
    return Plan(
        kill=tuple(kills),
        start=tuple(Start(name, _attempt(name, seen)) for name in due if name not in waiting),
        backing_off=waiting,
        retry_at=min((waits[name] for name in waiting), default=None),
    )


def _attempt(name: str, seen: Seen) -> int:
    runs = seen.containers.get(name)
    if runs:
        never_ran = runs[0].state == "created"
        return runs[0].attempt + (0 if never_ran else 1)
    return seen.restarts[name] + 1 if name in seen.restarts else 0


def _init(
    spec: Obj, here: Mapping[str, Sequence[Container]], seen: Seen, begun: bool
) -> tuple[list[str], bool, bool]:
    """Init containers to start, whether they hold the others back, and whether they failed for good. The last
    one that was ever begun tells how far the pod has come; sidecars before it are merely kept running."""
    inits = spec.get("initContainers") or []
    newest = {c["name"]: next(iter(here.get(c["name"]) or ()), None) for c in inits}
    tried = [place for place, container in enumerate(inits) if newest[container["name"]] is not None]
    last = max(tried, default=0)
    before = inits if begun else inits[:last]
    due = [c["name"] for c in before if is_sidecar(c) and not _runs(newest[c["name"]])]
    for container in () if begun else inits[last:]:
        run = newest[container["name"]]
        if _is_past(container, run, seen):
            continue
        if _runs(run):
            return due, True, False
        ended = run is not None and run.state == "exited" and not is_sidecar(container)
        if ended and spec.get("restartPolicy") == "Never":
            return due, True, True
        return [*due, container["name"]], True, False
    return due, False, False


def _runs(run: Container | None) -> bool:
    return run is not None and run.state == "running"


def _is_past(container: Obj, run: Container | None, seen: Seen) -> bool:
    """Whether an init container lets the next one start."""
    if run is None:
        return False
    if is_sidecar(container):
        return run.state == "running" and run.id in seen.started
    return run.state == "exited" and run.exit_code == 0


def _kills(spec: Obj, here: Mapping[str, Sequence[Container]], seen: Seen) -> Iterator[Kill]:
    again = "" if spec.get("restartPolicy", "Always") == "Never" else ", will be restarted"
    for container in [*(c for c in spec.get("initContainers") or () if is_sidecar(c)), *spec["containers"]]:
        name = container["name"]
        run = next(iter(here.get(name) or ()), None)
        if run is None or run.state != "running":
            continue
        called, then = ("Init container", "") if is_sidecar(container) else ("Container", again)
        known = run.annotations.get(HASH_ANNOTATION, "")
        if known and known != container_hash(container):
            changed = ", will be restarted" if called == "Container" else ""
            yield Kill(run, f"{called} {name} definition changed{changed}", at_once=True)
        elif probe := seen.failed.get(run.id):
            yield Kill(run, f"{called} {name} failed {probe} probe{then}", probe)
        elif run.id in seen.resized:
            yield Kill(run, f"Container {name} resize requires restart", at_once=True)
