"""The measured values of a HorizontalPodAutoscaler's metrics, read from the three metrics APIs.

metrics.k8s.io tells CPU and memory of pods; custom.metrics.k8s.io and external.metrics.k8s.io are served by
whoever is registered for them. Errors: NotMeasured with the words that the conditions show.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlencode

from minikube_py.controllers.autoscaling.replicas import NotMeasured, Sample
from minikube_py.errors import ApiError, NotFound
from minikube_py.meta.objects import Obj, dig, parse_time
from minikube_py.meta.quantity import milli_value
from minikube_py.meta.selectors import from_label_selector

Read = Callable[[str], Awaitable[Obj]]
"""GET of an API path: the object there. Errors: ApiError."""

MISSING = "the server could not find the requested resource"
ABSENT = "the server is currently unable to handle the request"
"""What clients say where there is no API, or nobody who serves it."""
_CUSTOM = ("custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def _window(text: str) -> float:
    """The seconds of `30s` or `1m0s`."""
    total, number = 0.0, ""
    for char in text:
        if char in _UNITS and number:
            total, number = total + float(number) * _UNITS[char], ""
        else:
            number += char
    return total or 60.0


def _at(text: str | None) -> Obj:
    return {"at": parse_time(text)} if text else {}


async def of_resource(
    read: Read, namespace: str, selector: str, resource: str, container: str = ""
) -> dict[str, Sample]:
    """CPU or memory of each pod, or of one container in each."""
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?{urlencode({'labelSelector': selector})}"
    samples = {}
    for item in await _items(read, path, "resource", "pods.metrics.k8s.io"):
        used = [c["usage"].get(resource) for c in item.get("containers") or () if container in ("", c["name"])]
        if used and all(value is not None for value in used):
            total = sum(milli_value(value) for value in used)
            when = _at(item.get("timestamp"))
            samples[item["metadata"]["name"]] = Sample(total, **when, window=_window(item.get("window", "")))
    return samples


async def of_pods(read: Read, namespace: str, selector: str, metric: Obj) -> dict[str, Sample]:
    """A custom metric of each pod."""
    found = await _custom(read, f"namespaces/{namespace}/pods/*", metric, {"labelSelector": selector})
    if not found:
        raise NotMeasured("no metrics returned from custom metrics API")
    return {
        dig(item, "describedObject.name", ""): Sample(
            milli_value(item["value"]),
            **_at(item.get("timestamp")),
            window=float(item.get("windowSeconds") or 60),
        )
        for item in found
    }


async def of_object(read: Read, namespace: str, resource: str, name: str, metric: Obj) -> int:
    """A custom metric of one object, in thousandths; `resource` as `ingresses.networking.k8s.io`."""
    where = f"namespaces/{namespace}/{resource}/{quote(name)}"
    if resource == "namespaces":
        where = f"namespaces/{quote(name)}/metrics"
    found = await _custom(read, where, metric, {})
    if not found:
        raise NotMeasured("no metrics returned from custom metrics API")
    return milli_value(found[0]["value"])


async def _custom(read: Read, where: str, metric: Obj, query: Mapping[str, str]) -> list[Obj]:
    asked = dict(query)
    if metric.get("selector"):
        asked["metricLabelSelector"] = str(from_label_selector(metric["selector"]))
    last: ApiError | None = None
    for version in _CUSTOM:
        path = f"/apis/{version}/{where}/{quote(metric['name'], safe='')}?{urlencode(asked)}"
        try:
            return (await read(path)).get("items") or []
        except NotFound as error:
            last = error
        except ApiError as error:
            raise NotMeasured(f"unable to fetch metrics from custom metrics API: {error}") from error
    told = f"{last}" if str(last) != MISSING else "no custom metrics API (custom.metrics.k8s.io) registered"
    raise NotMeasured(f"unable to fetch metrics from custom metrics API: {told}") from last


async def of_external(read: Read, namespace: str, metric: Obj) -> int:
    """The sum of an external metric's values, in thousandths."""
    selector = str(from_label_selector(metric["selector"])) if metric.get("selector") else ""
    query = urlencode({"labelSelector": selector})
    name = quote(metric["name"], safe="")
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}?{query}"
    resource = f"{metric['name']}.external.metrics.k8s.io"
    return sum(milli_value(item["value"]) for item in await _items(read, path, "external", resource))


async def _items(read: Read, path: str, api: str, resource: str) -> list[Obj]:
    """What a metrics API lists, at least one. Errors: NotMeasured."""
    try:
        found: list[Obj] = (await read(path)).get("items") or []
    except ApiError as error:
        told = f"{error} (get {resource})" if str(error) in (MISSING, ABSENT) else str(error)
        raise NotMeasured(f"unable to fetch metrics from {api} metrics API: {told}") from error
    if not found:
        raise NotMeasured(f"no metrics returned from {api} metrics API")
    return found
