"""Lifecycle hooks (postStart, preStop): a command, an HTTP request or a sleep, and how failures are told.

An HTTP hook succeeds with any response, whatever its status; one that asks for HTTPS where HTTP is spoken falls
back to it. The words of a failure may hold secrets: they are for the container's status, not for events.
"""

from collections.abc import Callable
from dataclasses import replace

from minikube_py.aio.clock import within
from minikube_py.kubelet.kuberuntime.environment import quoted
from minikube_py.kubelet.prober.exchange import BodyLost
from minikube_py.kubelet.prober.handlers import GetFailed, Target, follow, http_request
from minikube_py.meta.objects import Obj, name_of, namespace_of, uid_of
from minikube_py.runtime.base import ExecResult, RuntimeFailed

USER_AGENT = "kube-lifecycle/1.34"
FALLBACK = "request to HTTPS lifecycle hook got HTTP response, retry with HTTP succeeded"

Tell = Callable[[str, str, str], None]
"""Records an event: type, reason, message."""


async def run_hook(hook: Obj, target: Target, pod: Obj, limit: float, tell: Tell) -> str:
    """Run a hook within `limit` seconds; empty where it succeeded, else what failed."""
    of = f"for Container {quoted(target.spec['name'])} in Pod {quoted(_pod_id(pod))} failed"
    try:
        if "exec" in hook:
            command = hook["exec"].get("command") or []
            why = await _command(command, target, limit)
            return f"Exec lifecycle hook ([{' '.join(command)}]) {of} - error: {why}" if why else ""
        if "sleep" in hook:
            await target.clock.sleep(min(limit, float(hook["sleep"].get("seconds") or 0)))
            return ""
        if "httpGet" in hook:
            path = hook["httpGet"].get("path") or ""
            why = await within(target.clock, limit, _request(hook["httpGet"], target, tell))
            return f"HTTP lifecycle hook ({path}) {of} - error: {why}" if why else ""
    except TimeoutError:
        return f"Lifecycle hook {of} - error: context deadline exceeded"
    return f"Cannot run handler: invalid handler: {', '.join(hook)}"


def _pod_id(pod: Obj) -> str:
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


async def _command(command: list[str], target: Target, limit: float) -> str:
    try:
        result = await target.streams.exec_sync(target.id, command, limit)
    except TimeoutError:
        return f'command {quoted(" ".join(command))} timed out, message: ""'
    except RuntimeFailed as error:
        return f'{error.decorated}, message: ""'
    return _exit(command, result) if result.exit_code else ""


def _exit(command: list[str], result: ExecResult) -> str:
    said = result.stderr.decode(errors="replace")
    output = result.stdout.decode(errors="replace") + said
    text = f"command '{' '.join(command)}' exited with {result.exit_code}: {said}"
    return f"{text}, message: {quoted(output)}"


async def _request(action: Obj, target: Target, tell: Tell) -> str:
    """What failed, empty where there was a response."""
    try:
        request = http_request(action, target.spec, target.ip, USER_AGENT)
    except ValueError as error:
        return str(error)
    try:
        await follow(request)
    except BodyLost:
        return ""
    except GetFailed as failure:
        if not failure.is_plain:
            return str(failure)
        try:
            await follow(replace(request, scheme="http"))
        except GetFailed as plain:
            return str(plain)
        except BodyLost:
            return ""
        tell("Warning", "LifecycleHTTPFallback", FALLBACK)
    return ""
