"""/stats, /metrics and /configz of the kubelet's server: statistics are read when they are asked for."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import orjson
from aiohttp import web

from minikube_py.kubelet.server.configz import configuration
from minikube_py.kubelet.server.find import Refused
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.exposition import Metric, render
from minikube_py.kubelet.stats.measuring import Measuring
from minikube_py.kubelet.stats.metrics import (
    GAUGE,
    cadvisor_metrics,
    probe_metrics,
    resource_metrics,
    volume_metrics,
)
from minikube_py.kubelet.stats.summary import summary

Counts = Mapping[tuple[str, ...], int]
"""How often probes had which result, by the labels of their series."""


class StatsHandlers:
    """Answers requests for statistics; `routes` are by the first part of the path. `probes` gives the counts of
    each pod's probes, `machine` cores and kernel."""

    def __init__(
        self,
        shared: Shared,
        measuring: Measuring,
        probes: Callable[[], Iterable[Counts]],
        machine: tuple[int, str],
    ) -> None:
        self._shared, self._measuring, self._probes, self._machine = shared, measuring, probes, machine
        self._metrics: Mapping[tuple[str, ...], Callable[[], Awaitable[list[Metric]]]] = {
            (): self._own,
            ("resource",): self._resource,
            ("cadvisor",): self._cadvisor,
            ("probes",): self._of_probes,
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
        found = self._metrics.get(tuple(rest))
        if found is None:
            raise Refused(404, "404 page not found\n")
        body = render(await found()).encode()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _resource(self) -> list[Metric]:
        used = await self._measuring.usage()
        return resource_metrics(await self._measuring.node(), used)

    async def _cadvisor(self) -> list[Metric]:
        used = await self._measuring.usage(disk=True)
        return cadvisor_metrics(await self._measuring.node(), used, *self._machine)

    async def _of_probes(self) -> list[Metric]:
        total: Counter[tuple[str, ...]] = Counter()
        for counts in self._probes():
            total.update(counts)
        return probe_metrics(total)

    async def _own(self) -> list[Metric]:
        view = self._shared.view
        states: Counter[str] = Counter(
            container.state for uid in view.uids() for container in view.of(uid).containers.values()
        )
        sandboxes = sum(view.of(uid).ready_sandbox() is not None for uid in view.uids())
        node = self._shared.config.node_name
        containers = [({"container_state": state}, float(count)) for state, count in sorted(states.items())]
        help = "[ALPHA] The node's name. The count is always 1."
        return [
            Metric("kubelet_node_name", GAUGE, help, [({"node": node}, 1.0)]),
            Metric(
                "kubelet_running_pods",
                GAUGE,
                "[BETA] Number of pods that have a running pod sandbox",
                [({}, float(sandboxes))],
            ),
            Metric(
                "kubelet_running_containers",
                GAUGE,
                "[BETA] Number of containers currently running",
                containers,
            ),
            *volume_metrics(await self._measuring.volumes()),
        ]

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
