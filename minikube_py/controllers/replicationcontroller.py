"""ReplicationController controller: what the ReplicaSet controller does, for the kind that came before it."""

from typing import ClassVar

from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.meta.kind import Kind


class ReplicationControllerController(ReplicaSetController):
    """Drive each ReplicationController's pods towards spec.replicas."""

    name: ClassVar[str] = "replication-controller"
    kind: ClassVar[Kind] = ReplicationController
    reconciles, owns = ReplicationController, (Pod,)
