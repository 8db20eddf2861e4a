"""The user namespaces of pods with `hostUsers: false`: which of the node's ids are a pod's (KEP-127).

Each pod has 65536 ids, from a multiple of 65536 on, that no other pod has. They are kept in the pod's directory
(the file `userns`, in the kubelet's own form) and go with it, so that a restarted kubelet finds them.
"""

from pathlib import Path
from threading import Lock

import orjson

from minikube_py.runtime.base import RuntimeFailed, UserNamespace

LENGTH = 65_536
FILE = "userns"


class UserNamespaces:
    """Gives ids to pods below `pods`, for at most `count` of them at a time. All calls block for a moment."""

    def __init__(self, pods: Path, count: int) -> None:
        self._pods, self._count = pods, count
        self._lock = Lock()

    def of(self, uid: str) -> UserNamespace:
        """The pod's user namespace, chosen and kept at the first call; its directory must exist.
        Errors: RuntimeFailed, OSError."""
        with self._lock:
            known = _read(self._pods / uid / FILE)
            if known is not None:
                return known
            taken = {found.host_id for file in self._pods.glob(f"*/{FILE}") if (found := _read(file))}
            for number in range(1, self._count + 1):
                if number * LENGTH not in taken:
                    return _keep(self._pods / uid / FILE, UserNamespace(number * LENGTH, LENGTH))
        raise RuntimeFailed("could not find an empty slot to allocate a user namespace")


def _read(file: Path) -> UserNamespace | None:
    try:
        mapping = orjson.loads(file.read_bytes())["uidMappings"][0]
        return UserNamespace(int(mapping["hostId"]), int(mapping["length"]))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError) as error:
        raise RuntimeFailed(f"{file} is damaged: {error}") from error


def _keep(file: Path, user: UserNamespace) -> UserNamespace:
    mapping = [{"hostId": user.host_id, "containerId": 0, "length": user.length}]
    fresh = file.with_name(f".{FILE}")
    fresh.write_bytes(orjson.dumps({"uidMappings": mapping, "gidMappings": mapping}))
    fresh.replace(file)
    return user
