"""Job: runs pods until enough of them have succeeded."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.batch.jobspec import validate_job_spec
from minikube_py.kinds.batch.jobstatus import validate_job_status
from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, human_duration
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.selectors import MISMATCH, validate_label_selector
from minikube_py.kinds.strategy import fresh_status, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj, condition_is, copy, dig, is_deleting, name_of, parse_time, uid_of
from minikube_py.meta.selectors import from_label_selector
from minikube_py.meta.violations import IMMUTABLE, immutable, invalid, required

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_UID_LABEL, OLD_NAME_LABEL = "controller-uid", "job-name"


def default(job: Obj) -> None:
    default_template(job)
    spec = job["spec"]
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if_absent(spec, "parallelism", 1)
    if_absent(spec, "completionMode", "NonIndexed")
    if_absent(spec, "backoffLimit", 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6)
    if_absent(spec, "suspend", False)
    if_absent(spec, "manualSelector", False)
    if_absent(spec, "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in dig(spec, "podFailurePolicy.rules", ()):
        for pattern in rule.get("onPodConditions") or ():
            if_absent(pattern, "status", "True")


def prepare(job: Obj, old: Obj | None) -> None:
    if old is None and not job["spec"].get("manualSelector"):
        select_own_pods(job)
    if old is None and (labels := dig(job, "spec.template.metadata.labels")):
        if_empty(section(job, "metadata"), "labels", dict(labels))
    fresh_status(job, old)


def select_own_pods(job: Obj) -> None:
    """Give the job a selector that only its own pods match, and the template the labels for it. The object
    must carry its uid already; a selector that the client sent along is kept (validation refuses it)."""
    uid = uid_of(job)
    labels = section(section(job["spec"]["template"], "metadata"), "labels")
    for label, value in (
        (OLD_UID_LABEL, uid),
        (OLD_NAME_LABEL, name_of(job)),
        (UID_LABEL, uid),
        (NAME_LABEL, name_of(job)),
    ):
        labels.setdefault(label, value)
    selected = section(section(job["spec"], "selector"), "matchLabels")
    selected.setdefault(UID_LABEL, uid)


_FIXED = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)


def validate(job: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and job["spec"] == old["spec"]:
        return
    spec = job["spec"]
    yield from validate_job_spec(spec, "spec")
    yield from _pods(job)
    if old is not None:
        yield from _update(job, old)
    elif spec["completionMode"] == "Indexed" and (spec.get("completions") or 0) > 0:
        last = f"{name_of(job)}-{spec['completions'] - 1}"
        if dns1123_label(last):
            told = f"will not able to create pod with invalid DNS label: {last}"
            yield invalid("metadata.name", name_of(job), told)


def _pods(job: Obj) -> Iterable[Violation]:
    """The selector must be the generated one, unless the client manages it, and select the template's pods."""
    spec, selector = job["spec"], job["spec"].get("selector")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield required("spec.selector")
        return
    found = list(validate_label_selector(selector, "spec.selector"))
    yield from found
    if not spec.get("manualSelector"):
        generated = {UID_LABEL: uid_of(job)}
        if selector.get("matchExpressions") or selector.get("matchLabels") != generated:
            yield invalid("spec.selector", selector, "`selector` not auto-generated")
        for label, value in ((UID_LABEL, uid_of(job)), (NAME_LABEL, name_of(job))):
            if labels.get(label) != value:
                yield invalid("spec.template.metadata.labels", labels, f"must be '{value}'")
    if not found and not from_label_selector(selector).matches(labels):
        yield invalid("spec.template.metadata.labels", labels, MISMATCH)


def _update(job: Obj, old: Obj) -> Iterable[Violation]:
    spec, before = job["spec"], old["spec"]
    if spec.get("completions") != before.get("completions"):
        if spec["completionMode"] != "Indexed":
            yield invalid("spec.completions", spec.get("completions"), IMMUTABLE)
        elif spec.get("completions") not in (None, spec.get("parallelism")):
            told = "can only be modified in tandem with spec.parallelism"
            yield invalid("spec.completions", spec["completions"], told)
    template = before["template"]
    if before.get("suspend") and not dig(old, "status.startTime"):
        template = _with_placement_of(template, spec["template"])
    if spec["template"] != template:
        yield invalid("spec.template", spec["template"], IMMUTABLE)
    for field in _FIXED:
        yield from immutable(job, old, f"spec.{field}")


def _with_placement_of(template: Obj, new: Obj) -> Obj:
    """A copy of `template` with what may change in a Job that was never started as `new` says: where its pods
    may run, and their labels and annotations."""
    changed: Obj = copy(template)
    for field in ("labels", "annotations"):
        _take(section(changed, "metadata"), new.get("metadata") or {}, field)
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(changed["spec"], new["spec"], field)
    affinity, wanted = changed["spec"].get("affinity"), new["spec"].get("affinity")
    if affinity is not None or wanted is not None:
        affinity = {**(affinity or {})}
        _take(affinity, wanted or {}, "nodeAffinity")
        if affinity or wanted is not None:
            changed["spec"]["affinity"] = affinity
        else:
            changed["spec"].pop("affinity", None)
    return changed


def _take(obj: Obj, source: Obj, field: str) -> None:
    obj.pop(field, None)
    if field in source:
        obj[field] = source[field]


def _status(job: Obj, now: datetime) -> str:
    if condition_is(job, "Complete"):
        return "Complete"
    if condition_is(job, "Failed"):
        return "Failed"
    if is_deleting(job):
        return "Terminating"
    for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition_is(job, type):
            return type
    return "Running"


def _completions(job: Obj, now: datetime) -> str:
    succeeded, completions = dig(job, "status.succeeded", 0), dig(job, "spec.completions")
    if completions is not None:
        return f"{succeeded}/{completions}"
    parallelism = dig(job, "spec.parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(job: Obj, now: datetime) -> str:
    started, ended = dig(job, "status.startTime"), dig(job, "status.completionTime")
    if not started:
        return ""
    return human_duration((parse_time(ended) if ended else now) - parse_time(started))


Job = Kind(
    "Job",
    "batch/v1",
    "jobs",
    categories=("all",),
    subresources=("status",),
    default=default,
    prepare=prepare,
    validate=validate,
    warn=template_warnings(names_pods=True),
    validate_status=validate_job_status,
    fields={"status.successful": "status.succeeded"},
    orphans=True,
    columns=(
        NAME,
        Column("Status", _status, description="Status of the job."),
        Column("Completions", _completions, description="Pods that succeeded, and how many must"),
        Column("Duration", _duration, description="Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
