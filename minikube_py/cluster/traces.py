"""What a cluster makes on the machine outside its folder, or mounts inside: all of it taken away at once.

Used by the cluster's process when it stops, and by the command line, where that process may have been killed.
It imports little, so that `stop` does not wait for the whole cluster's code to be loaded.
"""

import asyncio

from minikube_py.aio import process
from minikube_py.cluster import leftovers, ownscope
from minikube_py.cluster.containerd import end_listener
from minikube_py.cluster.network import Bridge
from minikube_py.cluster.profile import Network, Profile


async def remove_traces(profile: Profile, network: Network | None) -> None:
    """Remove containers, containerd, mounts, cgroups, the bridge, the nft table. Fine if nothing is there.
    Errors: ContainerdFailed, LeftoversRemain, NetworkFailed, CommandFailed."""
    await end_listener(profile.containerd_socket)
    ownscope.leave(profile.cgroup_root)
    folders = [profile.containerd, profile.containerd_state, profile.kubelet]
    await asyncio.to_thread(
        leftovers.remove_all, folders, socket=profile.containerd_socket, cgroup=profile.cgroup_root
    )
    await asyncio.to_thread(leftovers.remove_folder, profile.containerd_state)
    if network is not None:
        await Bridge(profile.bridge, network.gateway_with_prefix).remove()
        table = f"table ip {profile.nft_table}"
        await process.run(("nft", "-f", "-"), input=f"{table}\ndelete {table}\n")
