"""What a Job's pods look like. Pure."""

from minikube_py.controllers.jobs.indexes import INDEX
from minikube_py.controllers.jobs.perindex import counts_per_index, marks
from minikube_py.controllers.jobs.podsets import FINALIZER
from minikube_py.controllers.pods import pod_from_template
from minikube_py.meta.objects import Obj, name_of

MAX_PREFIX = 58
"""Letters of a generated name before its random end; the index must not be cut off."""


def job_pod(job: Obj, index: int | None, replaced: Obj | None = None) -> Obj:
    """A new pod of `job`, for one completion index of an Indexed Job; `replaced` is the index's failed pod."""
    suffix = "-" if index is None else f"-{index}-"
    prefix = name_of(job)[: MAX_PREFIX - len(suffix)] + suffix
    pod = pod_from_template(job["spec"]["template"], job, prefix)
    meta, spec = pod["metadata"], pod["spec"]
    meta["finalizers"] = [*meta.get("finalizers", ()), FINALIZER]
    if index is None:
        return pod
    annotations = meta.setdefault("annotations", {})
    annotations[INDEX] = str(index)
    if counts_per_index(job):
        annotations.update(marks(replaced, job))
    meta.setdefault("labels", {})[INDEX] = str(index)
    spec["hostname"] = f"{name_of(job)}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        env = container.setdefault("env", [])
        if all(entry.get("name") != "JOB_COMPLETION_INDEX" for entry in env):
            env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod
