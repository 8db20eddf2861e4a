"""Local-path volumes: the names by which provisioner, nodes and the default StorageClass know them.

Such a volume is a folder of one node, below the root that the node tells of on its Node object. It carries a
finalizer that the node takes off once the folder is gone.
"""

from minikube_py.kinds.core.volumematching import PROVISIONED_BY
from minikube_py.meta.objects import Obj, annotations_of

PROVISIONER = "minikube-py.io/local-path"
FINALIZER = "minikube-py.io/local-path"
ROOT = "minikube-py.io/local-path-root"
"""The annotation of a Node: the folder that holds its volumes' folders."""
CLASS = "standard"
"""The StorageClass that a new cluster has."""


def is_local_path(volume: Obj) -> bool:
    """Whether a PersistentVolume was made by the local-path provisioner."""
    return annotations_of(volume).get(PROVISIONED_BY) == PROVISIONER
