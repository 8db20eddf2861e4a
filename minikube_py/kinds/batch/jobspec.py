"""Validation of the spec of a Job, in a Job or in a CronJob's template."""

from collections.abc import Iterable

from minikube_py.kinds.batch.jobpolicies import validate_failure_policy, validate_success_policy
from minikube_py.kinds.podspec.validation import validate_template
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, not_supported, required, too_long

_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES, _REPLACEMENTS = ("NonIndexed", "Indexed"), ("Failed", "TerminatingOrFailed")
_MAX_PARALLELISM, _MAX_FAILED, _MAX_MANAGER = 100_000, 100_000, 63
_MANY, _PARALLEL_OF_MANY, _FAILED_OF_MANY = 100_000, 10_000, 10_000


def validate_job_spec(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a Job's spec but for its selector, after defaulting."""
    for field in _COUNTS:
        if (spec.get(field) or 0) < 0:
            yield invalid(f"{path}.{field}", spec[field], NOT_NEGATIVE)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        yield from _manager(spec["managedBy"], f"{path}.managedBy")
    mode = spec["completionMode"]
    if mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    yield from _indexed(spec, path) if mode == "Indexed" else _not_indexed(spec, path)
    if spec.get("podFailurePolicy") is not None:
        yield from validate_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        yield from validate_success_policy(spec, f"{path}.successPolicy")
    supported = ("Failed",) if spec.get("podFailurePolicy") is not None else _REPLACEMENTS
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None and replacement not in supported:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, supported)
    yield from validate_template(spec["template"], f"{path}.template")
    yield from _restarts(spec, f"{path}.template.spec.restartPolicy")


def _restarts(spec: Obj, path: str) -> Iterable[Violation]:
    policy = spec["template"]["spec"].get("restartPolicy") or ""
    if policy in ("", "Always"):
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _manager(name: str, path: str) -> Iterable[Violation]:
    """Who runs the Job: a path with a domain in front, as `acme.io/queue`."""
    domain, slash, rest = name.partition("/")
    if not name:
        yield required(path)
    elif not slash or not domain or not rest:
        yield invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        for reason in dns1123_subdomain(domain):
            yield invalid(path, domain, reason)
    if len(name) > _MAX_MANAGER:
        yield too_long(path, _MAX_MANAGER)


def _not_indexed(spec: Obj, path: str) -> Iterable[Violation]:
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None:
            yield invalid(f"{path}.{field}", spec[field], "requires indexed completion mode")


def _indexed(spec: Obj, path: str) -> Iterable[Violation]:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > _MAX_PARALLELISM:
        told = f"must be less than or equal to {_MAX_PARALLELISM} when completion mode is Indexed"
        yield invalid(f"{path}.parallelism", parallelism, told)
    if completions is not None and failed is not None and failed > completions:
        yield invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _MAX_FAILED:
        yield invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_MAX_FAILED}")
    if (completions or 0) <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    when = f"when completions are above {_MANY} and used with backoff limit per index"
    if failed is None:
        told = f"must be specified when completions is above {_MANY}"
        yield required(f"{path}.maxFailedIndexes", told)
    if parallelism > _PARALLEL_OF_MANY:
        told = f"must be less than or equal to {_PARALLEL_OF_MANY} {when}"
        yield invalid(f"{path}.parallelism", parallelism, told)
    if failed is not None and failed > _FAILED_OF_MANY:
        told = f"must be less than or equal to {_FAILED_OF_MANY} {when}"
        yield invalid(f"{path}.maxFailedIndexes", failed, told)
