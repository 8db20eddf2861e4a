"""Job: runs pods until enough of them have succeeded."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, human_duration
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_template
from minikube_py.kinds.selectors import MISMATCH, validate_label_selector
from minikube_py.kinds.strategy import fresh_status, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, condition_is, copy, dig, is_deleting, name_of, parse_time, uid_of
from minikube_py.meta.selectors import from_label_selector
from minikube_py.meta.violations import IMMUTABLE, immutable, invalid, non_negative, not_supported, required

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


_COUNTS = (
    "parallelism",
    "completions",
    "backoffLimit",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
)
_FIXED = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_PLACEMENT = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def validate(job: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and job["spec"] == old["spec"]:
        return
    spec = job["spec"]
    for field in _COUNTS:
        yield from non_negative(job, f"spec.{field}")
    yield from _modes(spec)
    yield from _pods(job)
    yield from validate_template(spec["template"], "spec.template")
    if old is not None:
        yield from _update(job, old)


def _modes(spec: Obj) -> Iterable[Violation]:
    modes, policies = ("NonIndexed", "Indexed"), ("Failed", "TerminatingOrFailed")
    if spec["completionMode"] not in modes:
        yield not_supported("spec.completionMode", spec["completionMode"], modes)
    if spec["completionMode"] == "Indexed" and spec.get("completions") is None:
        yield required("spec.completions", "when completion mode is Indexed")
    if spec["podReplacementPolicy"] not in policies:
        yield not_supported("spec.podReplacementPolicy", spec["podReplacementPolicy"], policies)
    restart = spec["template"]["spec"].get("restartPolicy")
    if restart == "Always":
        yield required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        yield not_supported("spec.template.spec.restartPolicy", restart, ("OnFailure", "Never"))


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
    for field in _FIXED:
        yield from immutable(job, old, f"spec.{field}")
    spec, before = job["spec"], old["spec"]
    if spec.get("completions") != before.get("completions"):
        elastic = spec["completionMode"] == "Indexed" and spec.get("completions") == spec.get("parallelism")
        if not elastic:
            yield invalid("spec.completions", spec.get("completions"), IMMUTABLE)
    template = spec["template"]
    if before.get("suspend") and not dig(old, "status.startTime"):
        template = _with_placement_of(template, before["template"])
    if template != before["template"]:
        yield invalid("spec.template", spec["template"], IMMUTABLE)


def _with_placement_of(template: Obj, old: Obj) -> Obj:
    """`template` with what may change while the job is suspended set back: where its pods may run."""
    restored: Obj = copy(template)
    for field in _PLACEMENT:
        restored["spec"].pop(field, None)
        if field in old["spec"]:
            restored["spec"][field] = old["spec"][field]
    restored["metadata"] = old.get("metadata") or {}
    return restored


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
