"""What a kubelet does next for a pod, as a table of states and plans."""

from typing import Any

import pytest

from minikube_py.kubelet.plan import Kill, Plan, Seen, Start, container_hash, plan
from minikube_py.runtime.base import Container, Sandbox

NOW = 1000.0
MAIN = {"name": "main", "image": "app:1"}
READY = Sandbox("s0", "web", "default", "u", 0, "ready", 1.0, ("10.0.0.2",))
DEAD = Sandbox("s0", "web", "default", "u", 0, "notready", 1.0)


def pod(policy: str = "Always", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"containers": [MAIN], "restartPolicy": policy, **spec}}


def run(name: str = "main", state: str = "running", code: int = 0, **more: Any) -> Container:
    settings = {"sandbox_id": "s0", "attempt": 0, "annotations": {}} | more
    return Container(
        id=f"{name}-{settings['attempt']}",
        name=name,
        state=state,
        image="",
        image_id="",
        created_at=1.0,
        exit_code=code,
        **settings,
    )


def seen(*runs: Container, sandbox: Sandbox | None = READY, **more: Any) -> Seen:
    containers: dict[str, list[Container]] = {}
    for one in runs:
        containers.setdefault(one.name, []).append(one)
    return Seen(NOW, [sandbox] if sandbox else [], containers, **more)


INIT = {"initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}
MIXED = {"initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}, *INIT["initContainers"]]}
SIDE = {"initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}]}
OLD = {"annotations": {"io.kubernetes.container.hash": "old"}}

TABLE = {
    "a new pod gets a sandbox and its container": (
        pod(),
        seen(sandbox=None),
        Plan(sandbox=0, start=(Start("main", 0),)),
    ),
    "a running pod needs nothing": (pod(), seen(run()), Plan()),
    "a ready sandbox without containers": (pod(), seen(), Plan(start=(Start("main", 0),))),
    "Always restarts what succeeded": (pod(), seen(run(state="exited")), Plan(start=(Start("main", 1),))),
    "a backoff is waited for": (
        pod(),
        seen(run(state="exited", code=1), not_before={"main": NOW + 7}),
        Plan(backing_off=("main",), retry_at=NOW + 7),
    ),
    "a backoff that is over": (
        pod(),
        seen(run(state="exited", code=1), not_before={"main": NOW}),
        Plan(start=(Start("main", 1),)),
    ),
    "OnFailure restarts what failed": (
        pod("OnFailure"),
        seen(run(state="exited", code=1)),
        Plan(start=(Start("main", 1),)),
    ),
    "OnFailure ends with success": (pod("OnFailure"), seen(run(state="exited")), Plan(finished=True)),
    "Never ends with failure": (pod("Never"), seen(run(state="exited", code=1)), Plan(finished=True)),
    "a container that was created only is started, and that is no restart": (
        pod(),
        seen(run(state="created")),
        Plan(start=(Start("main", 0),)),
    ),
    "what the runtime has forgotten counts on": (
        pod(),
        seen(restarts={"main": 4}),
        Plan(start=(Start("main", 5),)),
    ),
    "a dead sandbox: first its containers are stopped": (
        pod(),
        seen(run(), sandbox=DEAD),
        Plan(kill=(Kill(run()),)),
    ),
    "a dead sandbox is replaced": (
        pod(),
        seen(run(state="exited", code=137), sandbox=DEAD),
        Plan(sandbox=1, start=(Start("main", 1),)),
    ),
    "a dead sandbox of a pod that has ended stays": (
        pod("Never"),
        seen(run(state="exited"), sandbox=DEAD),
        Plan(finished=True),
    ),
    "OnFailure in a new sandbox starts init containers again": (
        pod("OnFailure", **INIT),
        seen(run(state="exited", code=1), run("a", "exited"), run("b", "exited"), sandbox=DEAD),
        Plan(sandbox=1, start=(Start("a", 1),)),
    ),
    "the first init container": (pod(**INIT), seen(), Plan(start=(Start("a", 0),))),
    "a running init container holds the rest back": (pod(**INIT), seen(run("a")), Plan()),
    "the second init container": (pod(**INIT), seen(run("a", "exited")), Plan(start=(Start("b", 0),))),
    "after all init containers": (
        pod(**INIT),
        seen(run("a", "exited"), run("b", "exited")),
        Plan(start=(Start("main", 0),)),
    ),
    "a failed init container is repeated": (
        pod(**INIT),
        seen(run("a", "exited", 1)),
        Plan(start=(Start("a", 1),)),
    ),
    "a failed init container ends a Never pod": (
        pod("Never", **INIT),
        seen(run("a", "exited", 1)),
        Plan(finished=True),
    ),
    "init containers are not repeated once the pod has begun": (
        pod(**INIT),
        seen(run(state="exited", code=1), run("a", "exited")),
        Plan(start=(Start("main", 1),)),
    ),
    "a sidecar first": (pod(**SIDE), seen(), Plan(start=(Start("side", 0),))),
    "a sidecar that has not started holds the rest back": (pod(**SIDE), seen(run("side")), Plan()),
    "beside a started sidecar": (
        pod(**SIDE),
        seen(run("side"), started=frozenset({"side-0"})),
        Plan(start=(Start("main", 0),)),
    ),
    "a sidecar is restarted beside a running container": (
        pod("Never", **SIDE),
        seen(run(), run("side", "exited", 1)),
        Plan(start=(Start("side", 1),)),
    ),
    "a sidecar before init containers": (pod(**MIXED), seen(), Plan(start=(Start("side", 0),))),
    "a sidecar that ended before anything followed holds the rest back": (
        pod(**MIXED),
        seen(run("side", "exited", 1), not_before={"side": NOW + 7}),
        Plan(backing_off=("side",), retry_at=NOW + 7),
    ),
    "a crashed sidecar does not hold back the next init container": (
        pod(**MIXED),
        seen(run("side", "exited", 1), run("a", "exited"), not_before={"side": NOW + 7}),
        Plan(start=(Start("b", 0),), backing_off=("side",), retry_at=NOW + 7),
    ),
    "a crashed sidecar is restarted beside a running init container": (
        pod(**MIXED),
        seen(run("side", "exited", 1), run("a")),
        Plan(start=(Start("side", 1),)),
    ),
    "a crashed sidecar does not hold back the containers": (
        pod(**MIXED),
        seen(run("side", "exited", 1), run("b", "exited"), not_before={"side": NOW + 7}),
        Plan(start=(Start("main", 0),), backing_off=("side",), retry_at=NOW + 7),
    ),
    "a sidecar's failed liveness probe": (
        pod(**SIDE),
        seen(run(), run("side"), started=frozenset({"side-0"}), failed={"side-0": "liveness"}),
        Plan(kill=(Kill(run("side"), "Init container side failed liveness probe", "liveness"),)),
    ),
    "a changed sidecar": (
        pod(**SIDE),
        seen(run(), run("side", **OLD), started=frozenset({"side-0"})),
        Plan(kill=(Kill(run("side", **OLD), "Init container side definition changed", at_once=True),)),
    ),
    "a sidecar ends with the pod": (
        pod("Never", **SIDE),
        seen(run(state="exited"), run("side"), started=frozenset({"side-0"})),
        Plan(finished=True),
    ),
    "a changed container that has been stopped, which otherwise never runs again": (
        pod("Never"),
        seen(run(state="exited", code=137, **OLD), replaced=frozenset({"main"})),
        Plan(start=(Start("main", 1),)),
    ),
    "a changed container": (
        pod(),
        seen(run(**OLD)),
        Plan(kill=(Kill(run(**OLD), "Container main definition changed, will be restarted", at_once=True),)),
    ),
    "an unchanged container": (
        pod(),
        seen(run(annotations={"io.kubernetes.container.hash": container_hash(MAIN)})),
        Plan(),
    ),
    "a failed liveness probe": (
        pod(),
        seen(run(), failed={"main-0": "liveness"}),
        Plan(kill=(Kill(run(), "Container main failed liveness probe, will be restarted", "liveness"),)),
    ),
    "a failed startup probe of a Never pod": (
        pod("Never"),
        seen(run(), failed={"main-0": "startup"}),
        Plan(kill=(Kill(run(), "Container main failed startup probe", "startup"),)),
    ),
}


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.replace(" ", "-"))
def test_plan(case: str) -> None:
    """Each state leads to its plan."""
    subject, state, expected = TABLE[case]
    assert plan(subject, state) == expected


def test_two_ready_sandboxes_are_one_too_many() -> None:
    """Where two sandboxes are ready, both are stopped before one is made."""
    newer = Sandbox("s1", "web", "default", "u", 1, "ready", 2.0)
    assert plan(pod(), Seen(NOW, [newer, READY])) == Plan(stop_sandboxes=("s1", "s0"))


@pytest.mark.parametrize(
    ("policy", "lost", "expected"),
    [
        ("Always", {"main": 0}, ["main"]),
        ("OnFailure", {"main": 1}, ["main"]),
        ("OnFailure", {"main": 0}, []),
        ("Never", {"main": 1}, []),
        ("Never", {"first": 0}, []),
        ("Never", {}, ["first"]),
    ],
    ids=["always", "failed", "succeeded", "never", "never-in-init", "never-ran"],
)
def test_what_the_runtime_has_forgotten(policy: str, lost: dict[str, int], expected: list[str]) -> None:
    """What ran before the runtime forgot it runs again only where the pod's policy says so."""
    inits = [{"name": "first", "image": "init:1"}] if policy == "Never" else []
    subject = {"spec": {"restartPolicy": policy, "containers": [{"name": "main"}], "initContainers": inits}}
    todo = plan(subject, Seen(lost=lost))
    assert ([start.name for start in todo.start], todo.finished) == (expected, not expected)


def test_ephemeral_containers_run_once() -> None:
    """An ephemeral container that ran is not started again, though the runtime has forgotten it."""
    subject = pod(ephemeralContainers=[{"name": "dbg"}, {"name": "fresh"}])
    assert plan(subject, seen(run(), lost={"dbg": 137})).start == (Start("fresh", 0),)
