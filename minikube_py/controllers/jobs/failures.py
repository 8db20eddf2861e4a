"""What a Job's spec.podFailurePolicy makes of a failed pod. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from minikube_py.meta.objects import Obj, dig, key_of

COUNT, IGNORE, FAIL_JOB, FAIL_INDEX = "Count", "Ignore", "FailJob", "FailIndex"


class Verdict(NamedTuple):
    """The action (Count, Ignore, FailJob, FailIndex) and, for FailJob, the message why."""

    action: str
    message: str = ""


def judge(job: Obj, pod: Obj) -> Verdict:
    """The first matching rule's action; Count where none matches or the pod has not failed by itself."""
    for number, rule in enumerate(dig(job, "spec.podFailurePolicy.rules", [])):
        why = _exit_code_match(rule.get("onExitCodes"), pod) or _condition_match(rule, pod)
        if why:
            action = rule.get("action", COUNT)
            message = f"{why} matching {action} rule at index {number}" if action == FAIL_JOB else ""
            return Verdict(action if action in (IGNORE, FAIL_JOB, FAIL_INDEX) else COUNT, message)
    return Verdict(COUNT)


def _ended_containers(pod: Obj) -> Iterable[tuple[str, int]]:
    for field in ("containerStatuses", "initContainerStatuses"):
        for status in dig(pod, f"status.{field}", []):
            ended = dig(status, "state.terminated")
            if ended is not None and ended.get("exitCode"):
                yield status.get("name", ""), int(ended["exitCode"])


def _exit_code_match(wanted: Obj | None, pod: Obj) -> str:
    if wanted is None:
        return ""
    values = wanted.get("values") or ()
    for name, code in _ended_containers(pod):
        if wanted.get("containerName") and wanted["containerName"] != name:
            continue
        if (code in values) == (wanted.get("operator") == "In"):
            return f"Container {name} for pod {key_of(pod)} failed with exit code {code}"
    return ""


def _condition_match(rule: Obj, pod: Obj) -> str:
    conditions = dig(pod, "status.conditions", [])
    for wanted in rule.get("onPodConditions") or ():
        status = wanted.get("status") or "True"
        if any(c.get("type") == wanted.get("type") and c.get("status") == status for c in conditions):
            return f"Pod {key_of(pod)} has condition {wanted.get('type')}"
    return ""
