"""Lifecycle hooks (postStart, preStop): a command, an HTTP request or a sleep, and how failures are told.

An HTTP hook succeeds with any response, whatever its status; one that asks for HTTPS where HTTP is spoken falls
back to it. The words of a failure may hold secrets: they are for the container's status, not for events.
"""

import ssl
from collections.abc import Callable
from dataclasses import replace

from minikube_py.aio.clock import within
from minikube_py.kubelet.kuberuntime.environment import quoted
from minikube_py.kubelet.prober.handlers import HttpRequest, Target, fetch, http_request, reason_of
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
        return f'{error}, message: ""'
    return _exit(command, result) if result.exit_code else ""


def _exit(command: list[str], result: ExecResult) -> str:
    said = result.stderr.decode(errors="replace")
    output = result.stdout.decode(errors="replace") + said
    text = f"command '{' '.join(command)}' exited with {result.exit_code}: {said}"
    return f"{text}, message: {quoted(output)}"


async def _request(action: Obj, target: Target, tell: Tell) -> str:
    """What failed, empty where there was a response."""
    try:
        request = http_request(action, target.spec, target.ip)
    except ValueError as error:
        return str(error)
    names = {entry["name"].lower() for entry in action.get("httpHeaders") or ()}
    if "user-agent" not in names:
        request = replace(request, headers={**request.headers, "User-Agent": USER_AGENT})
    try:
        await fetch(request)
    except ssl.SSLError as error:
        if error.reason != "WRONG_VERSION_NUMBER":
            return _words(request, error)
        plain = replace(request, scheme="http")
        try:
            await fetch(plain)
        except (OSError, ValueError) as failure:
            return _words(plain, failure)
        tell("Warning", "LifecycleHTTPFallback", FALLBACK)
    except (OSError, ValueError) as error:
        return _words(request, error)
    return ""


def _words(request: HttpRequest, error: Exception) -> str:
    return f'Get "{request.url}": {reason_of(error, request.host, request.port)}'
