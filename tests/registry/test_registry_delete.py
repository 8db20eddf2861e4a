"""DELETE: grace periods, finalizers, propagation, preconditions, namespaces, collections."""

from datetime import UTC, datetime
from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.errors import BadRequest, Conflict, Forbidden, NotFound
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy, name_of
from minikube_py.registry.base import Context, DeleteOptions, ListOptions, WatchOptions
from minikube_py.registry.deletion import Step, plan_deletion
from minikube_py.registry.resource import Registry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(**changes: Any) -> Obj:
    """A pod bound to a node, with a grace period of 30 s."""
    meta = {"name": "p", "namespace": "default", "generation": 1, **changes.pop("meta", {})}
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 30, **changes.pop("spec", {})}
    return {"metadata": meta, "spec": spec, **changes}


TERMINATING = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}


@pytest.mark.parametrize(
    ("stored", "options", "step", "grace", "timestamp"),
    [
        (pod(), DeleteOptions(), Step.MARK, 30, "2026-01-01T00:00:30Z"),
        (pod(), DeleteOptions(5), Step.MARK, 5, "2026-01-01T00:00:05Z"),
        (pod(), DeleteOptions(-1), Step.MARK, 1, "2026-01-01T00:00:01Z"),
        (pod(), DeleteOptions(0), Step.REMOVE, 0, "2026-01-01T00:00:00Z"),
        (pod(spec={"nodeName": ""}), DeleteOptions(), Step.REMOVE, 0, "2026-01-01T00:00:00Z"),
        (pod(status={"phase": "Succeeded"}), DeleteOptions(), Step.REMOVE, 0, "2026-01-01T00:00:00Z"),
        (pod(meta={"finalizers": ["a/b"]}), DeleteOptions(0), Step.MARK, 0, "2026-01-01T00:00:00Z"),
        (pod(meta=TERMINATING), DeleteOptions(), Step.WAIT, 30, "2026-01-01T00:00:30Z"),
        (pod(meta=TERMINATING), DeleteOptions(60), Step.WAIT, 30, "2026-01-01T00:00:30Z"),
        (pod(meta=TERMINATING), DeleteOptions(10), Step.MARK, 10, "2026-01-01T00:00:10Z"),
        (pod(meta=TERMINATING), DeleteOptions(0), Step.REMOVE, 0, "2026-01-01T00:00:00Z"),
    ],
    ids=[
        "own period",
        "asked period",
        "negative",
        "at once",
        "not scheduled",
        "finished",
        "finalizer",
        "again",
        "longer",
        "shorter",
        "force",
    ],
)
def test_pod_grace(stored: Obj, options: DeleteOptions, step: Step, grace: int, timestamp: str) -> None:
    """How long a pod may take, by its own wish, the request's, and whether a kubelet runs it."""
    before = copy(stored)
    plan = plan_deletion(Pod, stored, options, NOW)
    meta = plan.object["metadata"]
    assert (plan.step, meta["deletionGracePeriodSeconds"], meta["deletionTimestamp"]) == (
        step,
        grace,
        timestamp,
    )
    assert stored == before


@pytest.mark.parametrize(
    ("finalizers", "options", "expected"),
    [
        ([], DeleteOptions(), (Step.REMOVE, None)),
        ([], DeleteOptions(propagation="Background"), (Step.REMOVE, None)),
        ([], DeleteOptions(propagation="Foreground"), (Step.MARK, ["foregroundDeletion"])),
        ([], DeleteOptions(propagation="Orphan"), (Step.MARK, ["orphan"])),
        ([], DeleteOptions(orphan_dependents=True), (Step.MARK, ["orphan"])),
        (["a/b"], DeleteOptions(propagation="Foreground"), (Step.MARK, ["a/b", "foregroundDeletion"])),
        (["orphan"], DeleteOptions(propagation="Background"), (Step.REMOVE, None)),
        (["foregroundDeletion"], DeleteOptions(), (Step.MARK, ["foregroundDeletion"])),
    ],
)
def test_propagation(finalizers: list[str], options: DeleteOptions, expected: Any) -> None:
    """The garbage collector's finalizers come and go as the propagation asks."""
    stored: Obj = {"metadata": {"name": "x", "finalizers": finalizers} if finalizers else {"name": "x"}}
    plan = plan_deletion(ConfigMap, stored, options, NOW)
    assert (plan.step, plan.object["metadata"].get("finalizers")) == expected


@pytest.mark.parametrize(
    ("finalizers", "options", "expected", "warned"),
    [
        ([], DeleteOptions(), ["orphan"], True),
        (["foregroundDeletion"], DeleteOptions(), ["foregroundDeletion"], True),
        (["a/b"], DeleteOptions(propagation="Background"), ["a/b"], False),
        (["a/b"], DeleteOptions(orphan_dependents=False), ["a/b"], False),
        ([], DeleteOptions(propagation="Orphan"), ["orphan"], False),
    ],
)
async def test_a_job_leaves_its_pods_unless_told_otherwise(
    registry: Registry, create: Any, finalizers: list[str], options: DeleteOptions, expected: Any, warned: bool
) -> None:
    """Deleting a Job without a propagation orphans its pods, and says so."""
    template = {"spec": {**pod_body()["spec"], "restartPolicy": "Never"}}
    await create(Job, "j", {"spec": {"template": template}}, finalizers=finalizers)
    context = Context(field_manager="test")
    left = registry.decoded((await registry.delete(Job, "default", "j", options, context)).entry)
    assert left["metadata"]["finalizers"] == expected
    assert [text.partition(";")[0] for text in context.warnings] == (
        ["child pods are preserved by default when jobs are deleted"] if warned else []
    )


async def test_plain_object_goes_at_once(registry: Registry, config_map: Obj) -> None:
    """Watchers are shown the last state at the deletion's revision, and the object is gone."""
    watch = registry.watch(ConfigMap, "default", WatchOptions(resource_version=str(registry.revision)))
    deletion = await registry.delete(ConfigMap, "default", "one", DeleteOptions(), CONTEXT)
    (event,) = await anext(watch)
    watch.close()
    last = registry.decoded(event.entry)
    assert deletion.gone is True
    assert (event.type, last["metadata"]["resourceVersion"]) == ("DELETED", str(registry.revision))
    assert last["data"] == config_map["data"]
    assert "deletionTimestamp" not in last["metadata"]
    with pytest.raises(NotFound):
        await registry.delete(ConfigMap, "default", "one", DeleteOptions(), CONTEXT)


async def test_bound_pod_goes_in_two_steps(registry: Registry, create: Any) -> None:
    """A running pod is marked, and the kubelet's delete with grace 0 removes it."""
    await create(Pod, "p", pod_body(nodeName="n"))
    first = await registry.delete(Pod, "default", "p", DeleteOptions(), CONTEXT)
    assert first.gone is False
    assert registry.decoded(first.entry)["metadata"]["deletionGracePeriodSeconds"] == 30
    before = registry.revision
    again = await registry.delete(Pod, "default", "p", DeleteOptions(), CONTEXT)
    assert (again.gone, registry.revision) == (False, before)
    assert (await registry.delete(Pod, "default", "p", DeleteOptions(0), CONTEXT)).gone is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DeleteOptions(uid="x"), "the UID in the precondition (x) does not match the UID in record"),
        (DeleteOptions(resource_version="1"), "the ResourceVersion in the precondition (1) does not match"),
    ],
)
async def test_preconditions(registry: Registry, config_map: Obj, options: DeleteOptions, message: str) -> None:
    """A deletion whose preconditions do not hold is a Conflict."""
    with pytest.raises(Conflict) as refused:
        await registry.delete(ConfigMap, "default", "one", options, CONTEXT)
    assert message in refused.value.message
    meta = config_map["metadata"]
    held = DeleteOptions(uid=meta["uid"], resource_version=meta["resourceVersion"])
    assert (await registry.delete(ConfigMap, "default", "one", held, CONTEXT)).gone is True


async def test_contradictory_options_are_refused(registry: Registry, config_map: Obj) -> None:
    """An unknown policy, or two ways to say it, are bad requests."""
    for options in (
        DeleteOptions(propagation="Now"),
        DeleteOptions(propagation="Orphan", orphan_dependents=True),
    ):
        with pytest.raises(BadRequest):
            await registry.delete(ConfigMap, "default", "one", options, CONTEXT)


async def test_namespace_waits_for_its_finalizer(registry: Registry, create: Any) -> None:
    """A namespace turns Terminating, and goes once the finalize subresource has emptied its finalizers."""
    await create(Namespace, "team")
    deletion = await registry.delete(Namespace, "", "team", DeleteOptions(), CONTEXT)
    terminating = copy(registry.decoded(deletion.entry))
    assert (deletion.gone, terminating["status"]["phase"]) == (False, "Terminating")
    assert "deletionTimestamp" in terminating["metadata"]
    assert (await registry.delete(Namespace, "", "team", DeleteOptions(), CONTEXT)).gone is False
    terminating["spec"]["finalizers"] = []
    await registry.update(Namespace, "", "team", terminating, CONTEXT, "finalize")
    with pytest.raises(NotFound):
        registry.get(Namespace, "", "team")


async def test_collection_by_selector(registry: Registry, create: Any) -> None:
    """deletecollection takes what the selectors choose and leaves the rest."""
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        await create(WIDGET, name, labels={"app": app})
    selected = ListOptions(labels="app=web")
    gone = (await registry.delete_collection(WIDGET, "default", selected, DeleteOptions(), CONTEXT)).entries
    assert [name_of(registry.decoded(entry)) for entry in gone] == ["a", "c"]
    left = registry.list(WIDGET, "default", ListOptions()).entries
    assert [name_of(registry.decoded(entry)) for entry in left] == ["b"]


async def test_dry_run_deletes_nothing(registry: Registry, config_map: Obj) -> None:
    """A dry run of a deletion leaves the object."""
    await registry.delete(ConfigMap, "default", "one", DeleteOptions(), Context(dry_run=True))
    assert registry.decoded(registry.get(ConfigMap, "default", "one")) == config_map


async def test_what_has_passed_admission_is_not_judged_again(registry: Registry, create: Any) -> None:
    """A deletion that is a part of another one passes plugins by."""

    class Refuse:
        async def mutate(self, request: Any) -> None:
            raise Forbidden("no deletions")

        async def validate(self, request: Any) -> None:
            raise Forbidden("no deletions")

    await create(ConfigMap, "one")
    registry.admission = Refuse()
    with pytest.raises(Forbidden):
        await registry.delete(ConfigMap, "default", "one", DeleteOptions(), Context())
    gone = await registry.delete(ConfigMap, "default", "one", DeleteOptions(), Context(admitted=True))
    assert gone.gone
