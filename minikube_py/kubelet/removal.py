"""The last steps of a pod on its node: its files and cgroups go, then its object goes from the API."""

import asyncio
import logging
import shutil
from collections.abc import Callable

from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.pod_volumes import PodVolumes
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, key_of, uid_of

log = logging.getLogger(__name__)

RETRY = 2.0  # seconds
CGROUP_WAITS = (0.02, 0.05, 0.1, 0.2, 0.5)  # seconds between attempts to remove a cgroup; then `orphans` does


async def take_down(shared: Shared, volumes: PodVolumes, pod: Obj) -> None:
    """Unmount and remove the pod's volumes and directory, tried again until it is done, and its cgroups as far
    as they are empty."""
    while True:
        try:
            await volumes.take_down()
            await asyncio.to_thread(shared.cgroups.remove, uid_of(pod))
            return
        except OSError as error:
            log.warning("%s: cannot remove its directory yet: %s", key_of(pod), error)
            await shared.clock.sleep(RETRY)


async def remove_traces(shared: Shared, pod: Obj) -> None:
    """Remove the pod's cgroups and logs, once nothing of it runs any more."""
    meta = pod["metadata"]
    logs = shared.config.pod_log_dir(meta["namespace"], meta["name"], uid_of(pod))
    await asyncio.to_thread(shutil.rmtree, logs, ignore_errors=True)
    for wait in CGROUP_WAITS:
        if await asyncio.to_thread(shared.cgroups.remove, uid_of(pod)):
            return
        await shared.clock.sleep(wait)


async def delete_object(shared: Shared, pod: Obj, gone: Callable[[], bool]) -> None:
    """Delete the pod's object for good, unless it is `gone`; tried again while the API does not answer."""
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(pod)}}
    while not gone():
        try:
            await shared.client.delete(Pod, key_of(pod), options)
            return
        except NotFound:
            return
        except ApiError as error:
            if isinstance(error, Conflict) and not shared.is_known(pod):
                return  # another pod has its name now
            log.warning("%s: cannot delete it from the API: %s", key_of(pod), error)
            await shared.clock.sleep(RETRY)
