"""Validation of probes and of the actions that probes and lifecycle hooks take."""

from collections.abc import Iterable
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import http_header_name, port_name, port_number
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import NOT_NEGATIVE, forbidden, invalid, not_supported, required

_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probes(container: Obj, grace: int | None, path: str) -> Iterable[Violation]:
    """The refusals of a container's probes and lifecycle hooks; `grace` is the pod's termination period."""
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            yield from _handler(lifecycle[hook], _HOOK_HANDLERS, grace, f"{path}.lifecycle.{hook}")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            yield from _probe(probe, name, f"{path}.{name}")


def _probe(probe: Obj, name: str, path: str) -> Iterable[Violation]:
    yield from _handler(probe, _PROBE_HANDLERS, None, path)
    for field in _COUNTS:
        if (probe.get(field) or 0) < 0:
            yield invalid(f"{path}.{field}", probe[field], NOT_NEGATIVE)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if grace is not None and name == "readinessProbe":
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(handler: Obj, known: tuple[str, ...], grace: int | None, path: str) -> Iterable[Violation]:
    chosen = [name for name in known if handler.get(name) is not None]
    if not chosen:
        yield required(path, "must specify a handler type")
        return
    for name in chosen[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    action, place = handler[chosen[0]], f"{path}.{chosen[0]}"
    if chosen[0] == "exec" and not action.get("command"):
        yield required(f"{place}.command")
    elif chosen[0] == "httpGet":
        yield from _http_get(action, place)
    elif chosen[0] == "tcpSocket":
        yield from validate_port(action.get("port"), f"{place}.port")
    elif chosen[0] == "grpc":
        yield from validate_port(action.get("port") or 0, f"{place}.port")
    elif chosen[0] == "sleep":
        yield from _sleep(action.get("seconds") or 0, grace, place)


def _sleep(seconds: int, grace: int | None, path: str) -> Iterable[Violation]:
    if grace is not None and not 0 <= seconds <= grace:
        told = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield invalid(path, seconds, told)


def _http_get(action: Obj, path: str) -> Iterable[Violation]:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from validate_port(action.get("port"), f"{path}.port")
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        yield not_supported(f"{path}.scheme", action.get("scheme") or "", ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        for reason in http_header_name(header.get("name", "")):
            yield invalid(f"{path}.httpHeaders", header.get("name", ""), reason)


def validate_port(port: Any, path: str) -> Iterable[Violation]:
    """The refusals of a port given by number or by name."""
    reasons = port_name(port) if isinstance(port, str) else port_number(port or 0)
    for reason in reasons:
        yield invalid(path, port if port is not None else 0, reason)
