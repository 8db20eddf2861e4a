"""Deployment, ReplicaSet, DaemonSet, ControllerRevision and Job."""

from typing import Any

import pytest
from kind_objects import ago, container, created, meta, refusals, row, updated, workload

from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.batch.job import Job
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy

WORKLOADS = [Deployment, ReplicaSet, DaemonSet]
OTHER = {"matchLabels": {"app": "other"}}


def job(name: str = "pi", **spec: Any) -> Obj:
    template = {"spec": {"containers": [container()], "restartPolicy": "Never"}}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(name)}
    return {**made, "spec": {"template": template, **spec}}


def changed(old: Obj, **spec: Any) -> Obj:
    new: Obj = copy(old)
    new["spec"].update(spec)
    return new


def test_deployment_defaults() -> None:
    """One replica, rolled by quarters, ten old ReplicaSets, ten minutes to progress."""
    stored = created(Deployment, workload("Deployment"))
    spec = {key: value for key, value in stored["spec"].items() if key not in ("template", "selector")}
    assert spec == {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    assert stored["spec"]["template"]["spec"]["restartPolicy"] == "Always"
    assert (stored["metadata"]["generation"], stored["status"]) == (1, {})


def test_daemon_set_templates_are_numbered() -> None:
    """The number of a DaemonSet's template, which old clients read, rises with the template alone."""
    old = created(DaemonSet, workload("DaemonSet"))
    new = changed(old, minReadySeconds=1)
    assert updated(DaemonSet, new, old)["metadata"]["annotations"] == {
        "deprecated.daemonset.template.generation": "1"
    }
    new["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert updated(DaemonSet, new, old)["metadata"]["annotations"] == {
        "deprecated.daemonset.template.generation": "2"
    }


def test_zero_replicas_stay_zero() -> None:
    """A default does not replace a zero that the client chose."""
    assert created(Deployment, workload("Deployment", replicas=0))["spec"]["replicas"] == 0
    recreate = created(Deployment, workload("Deployment", strategy={"type": "Recreate"}))
    assert recreate["spec"]["strategy"] == {"type": "Recreate"}


def test_daemon_set_defaults() -> None:
    """One unavailable pod at a time, and no surge."""
    stored = created(DaemonSet, workload("DaemonSet"))
    rolling = {"maxUnavailable": 1, "maxSurge": 0}
    assert stored["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert stored["status"] == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


@pytest.mark.parametrize("kind", WORKLOADS, ids=lambda kind: kind.kind)
def test_selectors(kind: Kind) -> None:
    """A selector must be there, select its own template's pods, and stay what it is."""
    sound = workload(kind.kind)
    assert refusals(kind, sound) == []
    mismatch = "spec.template.metadata.labels: Invalid value: %s: `selector` does not match template `labels`"
    assert refusals(kind, changed(sound, selector=OTHER)) == [mismatch % '{"app":"web"}']
    missing = copy(sound)
    del missing["spec"]["selector"]
    needed = [] if kind.kind == "DaemonSet" else ["spec.selector: Required value"]
    assert refusals(kind, missing) == [*needed, mismatch % '{"app":"web"}']
    del missing["spec"]["template"]["metadata"]
    assert refusals(kind, missing) == [*needed, mismatch % "null"]
    bad = changed(sound, selector={"matchExpressions": [{"key": "a", "operator": "Like"}]})
    told = ['spec.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator']
    shown = 'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Like"}]}'
    unread = [] if kind.kind == "DaemonSet" else [f"{shown}: invalid label selector"]
    assert refusals(kind, bad) == told + unread
    word = {"Deployment": "deployment", "DaemonSet": "daemonset"}.get(kind.kind, kind.kind)
    assert refusals(kind, changed(sound, selector={})) == [
        f"spec.selector: Invalid value: {{}}: empty selector is invalid for {word}"
    ]
    moved = changed(created(kind, sound), selector=OTHER)
    moved["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    assert refusals(kind, moved, created(kind, sound)) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable'
    ]


@pytest.mark.parametrize("kind", WORKLOADS, ids=lambda kind: kind.kind)
def test_templates_restart_always(kind: Kind) -> None:
    """The pods of a lasting workload restart always."""
    found = workload(kind.kind)
    found["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    assert refusals(kind, found) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"minReadySeconds": 600},
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        (
            {"strategy": {"type": "Sometimes"}},
            [
                'spec.strategy.type: Unsupported value: "Sometimes": '
                'supported values: "Recreate", "RollingUpdate"',
            ],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [
                "spec.strategy.rollingUpdate: Forbidden: "
                "may not be specified when strategy `type` is 'Recreate'",
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "0%", "maxSurge": 0}}},
            [
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": '
                "may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "150%"}}},
            [
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": '
                "must not be greater than 100%",
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": "much"}}},
            [
                'spec.strategy.rollingUpdate.maxSurge: Invalid value: "much": a valid percent string must be a '
                "numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                "regex used for validation is '[0-9]+%')",
            ],
        ),
    ],
)
def test_deployment_refusals(spec: Obj, expected: list[str]) -> None:
    """Counts, strategies and percentages are judged in Kubernetes' words."""
    assert refusals(Deployment, workload("Deployment", **spec)) == expected


def test_generation_follows_the_spec() -> None:
    """A new template raises the generation; a new status does not."""
    old = created(Deployment, workload("Deployment"))
    assert updated(Deployment, changed(old, replicas=2), old)["metadata"]["generation"] == 2
    assert updated(Deployment, old, {**old, "status": {"replicas": 1}})["metadata"]["generation"] == 1


def test_workload_columns() -> None:
    """The tables of workloads count pods, and name containers, images and selector when wide."""
    status = {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}
    wide = {"Containers": "main", "Images": "nginx:1.27", "Selector": "app=web"}
    deployment = {**workload("Deployment", replicas=3), "status": status}
    expected = {"Name": "web", "Ready": "2/3", "Up-to-date": 3, "Available": 1, "Age": "60s", **wide}
    assert row(Deployment, deployment) == expected
    replica_set = {**workload("ReplicaSet", replicas=3), "status": status}
    assert row(ReplicaSet, replica_set) == {
        "Name": "web", "Desired": 3, "Current": 3, "Ready": 2, "Age": "60s", **wide,
    }  # fmt: skip
    daemon_set = {**workload("DaemonSet"), "status": {"desiredNumberScheduled": 2, "numberReady": 1}}
    daemon_set["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert row(DaemonSet, daemon_set) == {
        "Name": "web", "Desired": 2, "Current": 0, "Ready": 1, "Up-to-date": 0, "Available": 0,
        "Node Selector": "disk=ssd", "Age": "60s", **wide,
    }  # fmt: skip


def test_controller_revision() -> None:
    """A revision names its controller; its data never changes."""
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "u", "controller": True}
    revision = {"metadata": meta("web-1", ownerReferences=[owner]), "data": {"a": 1}, "revision": 4}
    cells = {"Name": "web-1", "Controller": "daemonset.apps/web", "Revision": 4, "Age": "60s"}
    assert row(ControllerRevision, revision) == cells
    assert refusals(ControllerRevision, {**revision, "data": {"a": 2}}, revision) == [
        'data: Invalid value: {"a":2}: field is immutable'
    ]
    assert refusals(ControllerRevision, {"metadata": meta()}) == ["data: Required value: data is mandatory"]


def test_job_defaults() -> None:
    """A plain job completes once, tries six times more, and selects its pods by its uid."""
    stored = created(Job, job())
    labels = {
        "batch.kubernetes.io/controller-uid": "uid-1",
        "batch.kubernetes.io/job-name": "pi",
        "controller-uid": "uid-1",
        "job-name": "pi",
    }
    spec = {key: value for key, value in stored["spec"].items() if key != "template"}
    assert stored["spec"]["template"]["metadata"] == {"labels": labels}
    assert stored["metadata"]["labels"] == labels
    assert spec == {
        "completions": 1,
        "parallelism": 1,
        "completionMode": "NonIndexed",
        "backoffLimit": 6,
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-1"}},
    }
    assert "completions" not in created(Job, job(parallelism=3))["spec"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (job(), []),
        (
            job(template={"spec": {"containers": [container()]}}),
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (job(backoffLimit=-1), ["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"]),
        (
            job(completionMode="Indexed", parallelism=2),
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            job(selector={"matchLabels": {"a": "b"}}),
            [
                'spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":'
                '"uid-1"}}: `selector` not auto-generated',
                'spec.template.metadata.labels: Invalid value: {"controller-uid":"uid-1","job-name":"pi",'
                '"batch.kubernetes.io/controller-uid":"uid-1","batch.kubernetes.io/job-name":"pi"}: '
                "`selector` does not match template `labels`",
            ],
        ),
    ],
)
def test_job_refusals(found: Obj, expected: list[str]) -> None:
    """A job's pods end, and its selector is generated."""
    assert refusals(Job, found) == expected


def test_job_updates() -> None:
    """A job's template is fixed; parallelism may change; where a suspended job runs may too."""
    old = created(Job, job())
    assert refusals(Job, changed(old, parallelism=5), old) == []
    new = copy(old)
    new["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    assert [text.rpartition(": ")[2] for text in refusals(Job, new, old)] == ["field is immutable"]
    suspended = changed(old, suspend=True)
    assert refusals(Job, new, suspended) == []
    assert refusals(Job, changed(old, completions=2), old) == [
        "spec.completions: Invalid value: 2: field is immutable"
    ]


def test_job_columns() -> None:
    """A job's table tells its state, its completions and how long it took."""
    done = {"type": "Complete", "status": "True"}
    status = {"succeeded": 1, "startTime": ago(90), "completionTime": ago(60), "conditions": [done]}
    names = ("Status", "Completions", "Duration")
    assert [row(Job, {**job(completions=1), "status": status})[name] for name in names] == [
        "Complete",
        "1/1",
        "30s",
    ]
    assert [row(Job, {**job(parallelism=3), "status": {"startTime": ago(90)}})[name] for name in names] == [
        "Running",
        "0/1 of 3",
        "90s",
    ]
    suspended = {"conditions": [{"type": "Suspended", "status": "True"}]}
    assert [row(Job, {**job(), "status": suspended})[name] for name in names] == ["Suspended", "0/1", ""]
