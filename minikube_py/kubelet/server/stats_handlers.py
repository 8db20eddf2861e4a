"""/stats, /metrics and /configz of the kubelet's server: statistics are read when they are asked for."""

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web
from cryptography import x509

from minikube_py.aio.process_metrics import build_info, process_metrics
from minikube_py.kubelet.node.machine import Machine
from minikube_py.kubelet.server.configz import configuration
from minikube_py.kubelet.server.find import Refused
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.exposition import page, render
from minikube_py.kubelet.stats.features import feature_metric
from minikube_py.kubelet.stats.measuring import Measuring
from minikube_py.kubelet.stats.metrics import probe_metrics, resource_metrics, volume_metrics
from minikube_py.kubelet.stats.state import (
    State,
    certificate_metrics,
    node_metrics,
    pod_metrics,
    volume_count,
)
from minikube_py.kubelet.stats.summary import summary
from minikube_py.meta.version import VERSION

TEXT = "text/plain; version=0.0.4; charset=utf-8"
SMALL = 1400
"""Bytes up to which a page is not worth compressing."""


class StatsHandlers:
    """Answers requests for statistics; `routes` are by the first part of the path. `state` is what the rest of
    the kubelet gives."""

    def __init__(self, shared: Shared, measuring: Measuring, state: State, machine: Machine) -> None:
        self._shared, self._measuring, self._state, self._machine = shared, measuring, state, machine
        self._process = [*process_metrics(), build_info(VERSION), feature_metric()]
        self._pages: Mapping[tuple[str, ...], Callable[[], Awaitable[str]]] = {
            (): self._own,
            ("resource",): self._resource,
            ("cadvisor",): self._cadvisor,
            ("probes",): self._of_probes,
            ("slis",): self._checks,
        }

    def routes(self) -> Mapping[str, Callable[[web.BaseRequest, list[str]], Awaitable[web.StreamResponse]]]:
        """The handlers, which take the request and the rest of its path."""
        return {"stats": self._stats, "metrics": self._show, "configz": self._configz}

    async def _stats(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if rest != ["summary"]:
            raise Refused(404, "404 page not found\n")
        records = await self._measuring.records()
        node = await self._measuring.node(images=True)
        if request.query.get("only_cpu_and_memory") in ("true", "1"):
            return _json(_only(summary(node, records)))
        return _json(summary(node, records))

    async def _show(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        found = self._pages.get(tuple(rest))
        if found is None:
            raise Refused(404, "404 page not found\n")
        body, headers = (await found()).encode(), {"Content-Type": TEXT}
        if "gzip" in request.headers.get("Accept-Encoding", "") and len(body) > SMALL:
            body = await asyncio.to_thread(gzip.compress, body, 1)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _resource(self) -> str:
        used = await self._measuring.usage()
        return render(resource_metrics(await self._measuring.node(), used))

    async def _cadvisor(self) -> str:
        return await self._measuring.cadvisor(self._machine)

    async def _of_probes(self) -> str:
        total: Counter[tuple[str, ...]] = Counter()
        for counts in self._state.probes():
            total.update(counts)
        return page([self._shared.metrics.probe_durations, *probe_metrics(total)])

    async def _checks(self) -> str:
        metrics = self._shared.metrics
        return page([metrics.healthy, metrics.health_checks])

    async def _own(self) -> str:
        shared, pods = self._shared, self._state.pods()
        expiry = await self._certificate_end()
        volumes = await self._measuring.volumes()
        return page(
            [
                *shared.metrics.families(),
                *node_metrics(shared.config.node_name, shared.view),
                *pod_metrics(pods),
                volume_count(pods, self._state.mounted),
                *(certificate_metrics(expiry, shared.epoch()) if expiry else ()),
                *volume_metrics(volumes),
                *self._process,
            ]
        )

    async def _certificate_end(self) -> float:
        """When the serving certificate expires (seconds since the epoch)."""
        server = self._shared.config.server
        if server is None:
            return 0.0
        pem = await asyncio.to_thread(server.certificate.read_bytes)
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()

    async def _configz(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        return _json(configuration(self._shared.config))


def _only(found: dict[str, object]) -> dict[str, object]:
    """A Summary of CPU and memory alone."""
    kept = ("nodeName", "systemContainers", "startTime", "cpu", "memory", "podRef", "containers", "name")

    def less(part: dict[str, object]) -> dict[str, object]:
        result = {key: value for key, value in part.items() if key in kept}
        for key in ("containers", "systemContainers"):
            if isinstance(parts := result.get(key), list):
                result[key] = [less(one) for one in parts]
        return result

    node, pods = found["node"], found["pods"]
    assert isinstance(node, dict) and isinstance(pods, list)
    return {"node": less(node), "pods": [less(pod) for pod in pods]}


def _json(obj: object) -> web.Response:
    return web.Response(body=orjson.dumps(obj), content_type="application/json")
