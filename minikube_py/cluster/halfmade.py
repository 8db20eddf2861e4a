"""Half-made pod sandboxes: what a containerd that was killed while it made them, or took them down, has
forgotten. Their network namespaces, addresses and plugin results are given back.

Only what lies below a cluster's own folder, or names it, is touched. To be called while no containerd runs in
that folder, as then nothing is on its way. What containerd does know of (a sandbox whose shim has died) it can
still take down afterwards: the plugins do not mind what is gone. Blocking, but short.
"""

import json
from pathlib import Path

from minikube_py.cluster.leftovers import LEASES, RESULTS, SHIM_BUNDLES, network_results, unmount_all


def give_back(folder: Path, state: Path, results: Path = RESULTS) -> list[Path]:
    """Remove what no bundle in containerd's `state` has to do with, leases in its `folder` too; the files
    removed. Errors: OSError, LeftoversRemain."""
    bundles = {path.name: path for path in _entries(state / SHIM_BUNDLES)}
    held = {path for bundle in bundles.values() for path in _namespaces(bundle)}
    removed = []
    for namespace in state.glob("*/netns/*"):
        if str(namespace) not in held:
            unmount_all([namespace])
            removed.append(namespace)
    removed += [lease for lease in (folder / LEASES).glob("*/[0-9]*") if _owner(lease) not in bundles]
    removed += [path for path, owner in network_results(state, results) if owner not in bundles]
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _namespaces(bundle: Path) -> list[str]:
    """The paths of the namespaces that a bundle's process joins."""
    try:
        spec = json.loads((bundle / "config.json").read_bytes())
    except (OSError, ValueError):  # it was not written to its end: nothing runs from it
        return []
    return [space["path"] for space in spec.get("linux", {}).get("namespaces", ()) if space.get("path")]


def _owner(lease: Path) -> str:
    """The sandbox that host-local gave an address to: the first line of the address's file."""
    return next(iter(lease.read_text(errors="replace").split()), "")
