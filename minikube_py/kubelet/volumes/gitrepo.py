"""gitRepo: off by default in v1.34, and so here: the pod waits, and is told so."""

from minikube_py.kubelet.volumes.base import Mounted, VolumeContext, VolumeFailed, VolumeKind
from minikube_py.meta.objects import Obj

DISABLED = (
    "git-repo volume plugin has been disabled; if necessary, it may be re-enabled by enabling the feature-gate "
    "`GitRepoVolumeDriver`"
)


class GitRepoVolume(VolumeKind):
    source = "gitRepo"

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        raise VolumeFailed(DISABLED)
