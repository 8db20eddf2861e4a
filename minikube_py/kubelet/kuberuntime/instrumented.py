"""InstrumentedRuntime: a runtime whose calls are counted and timed by their CRI names, as a kubelet tells them.

A call costs half a microsecond more. What streams (events, attach, connections) is passed on as it is.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, cast

from minikube_py.kubelet.metrics import KubeletMetrics
from minikube_py.runtime.base import (
    Containers,
    Images,
    Monitor,
    Runtime,
    SandboxConfig,
    Sandboxes,
    Streams,
)

SANDBOXES = {
    "stop": "stop_podsandbox",
    "remove": "remove_podsandbox",
    "list": "list_podsandbox",
    "status": "podsandbox_status",
}
CONTAINERS = {
    "create": "create_container",
    "start": "start_container",
    "stop": "stop_container",
    "remove": "remove_container",
    "list": "list_containers",
    "status": "container_status",
}
IMAGES = {"pull": "pull_image", "list": "list_images", "status": "image_status", "remove": "remove_image"}
STREAMS = {"exec_sync": "exec_sync", "exec": "exec", "attach": "attach"}
MONITOR = {
    "info": "status",
    "stats": "list_container_stats",
    "reopen_log": "reopen_container_log",
    "update_resources": "update_container",
}
"""Method > the name of its CRI call."""

Call = Callable[..., Awaitable[Any]]


class InstrumentedRuntime:
    """The Runtime `inner`, counted by `metrics`."""

    def __init__(self, inner: Runtime, metrics: KubeletMetrics) -> None:
        self._inner, self._metrics = inner, metrics
        self._run = self._counted("run_podsandbox", lambda: inner.sandboxes.run)
        made = self._part("sandboxes", SANDBOXES)
        made.run = self._run_sandbox
        self.sandboxes = cast(Sandboxes, made)
        self.containers = cast(Containers, self._part("containers", CONTAINERS))
        self.images = cast(Images, self._part("images", IMAGES))
        self.streams = cast(Streams, self._part("streams", STREAMS))
        self.monitor = cast(Monitor, self._part("monitor", MONITOR))

    async def close(self) -> None:
        """Close the runtime."""
        await self._inner.close()

    def _part(self, name: str, methods: Mapping[str, str]) -> "_Part":
        made = _Part(self._inner, name)
        for method, operation in methods.items():
            counted = self._counted(operation, partial(getattr, _Part(self._inner, name), method))
            setattr(made, method, counted)
        return made

    def _counted(self, operation: str, find: Callable[[], Call]) -> Call:
        metrics, labels = self._metrics, (operation,)

        async def counted(*args: Any, **named: Any) -> Any:
            metrics.operations.add(labels)
            begun = perf_counter()
            try:
                return await find()(*args, **named)
            except Exception:
                metrics.operation_errors.add(labels)
                raise
            finally:
                metrics.operation_durations.observe(labels, perf_counter() - begun)

        return counted

    async def _run_sandbox(self, config: SandboxConfig) -> str:
        metrics, handler = self._metrics, (config.runtime_handler,)
        metrics.started_pods.add()
        metrics.started_containers.add(("pod_sandbox",))
        begun = perf_counter()
        try:
            return cast(str, await self._run(config))
        except Exception as error:
            metrics.sandbox_errors.add(handler)
            metrics.started_pods_errors.add()
            metrics.started_containers_errors.add((type(error).__name__, "pod_sandbox"))
            raise
        finally:
            metrics.sandbox_durations.observe(handler, perf_counter() - begun)


class _Part:
    """One service of a runtime, as it is at the moment of a call."""

    run: Call

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime, self._name = runtime, name

    def __getattr__(self, method: str) -> Any:
        return getattr(getattr(self._runtime, self._name), method)
