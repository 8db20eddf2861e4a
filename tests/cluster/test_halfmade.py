"""What a killed containerd has half made or forgotten is found and given back; what serves is left alone."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from minikube_py.cluster import leftovers
from minikube_py.cluster.containerd import ContainerdProcess
from minikube_py.cluster.halfmade import give_back
from minikube_py.cluster.leftovers import network_results, remove_bundle
from minikube_py.cluster.strays import Strays
from minikube_py.runtime.base import SandboxConfig
from minikube_py.runtime.records import Records
from minikube_py.testing.containerd import private_containerd, unavailable

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def sandbox(folder: Path, results: Path, id: str, *, bundle: bool) -> list[Path]:
    """The traces of a sandbox: its namespace, lease and result; and its bundle, where there is one."""
    namespace = folder / f"state/io.containerd.grpc.v1.cri/netns/cni-{id}"
    lease = folder / f"cni-data/minikube-py/10.0.0.{len(id)}"
    result = results / f"minikube-py-{id}-eth0"
    for path in (namespace, lease, result):
        path.parent.mkdir(parents=True, exist_ok=True)
    namespace.touch()
    lease.write_text(f"{id}\r\neth0")
    answer = {"interfaces": [{"name": "eth0", "sandbox": str(namespace)}]}
    result.write_text(json.dumps({"containerId": id, "result": answer}))
    if bundle:
        spec = {"linux": {"namespaces": [{"type": "network", "path": str(namespace)}, {"type": "pid"}]}}
        home = folder / "state" / leftovers.SHIM_BUNDLES / id
        home.mkdir(parents=True)
        (home / "config.json").write_text(json.dumps(spec))
    return [namespace, lease, result]


@root
def test_half_made_sandboxes_are_given_back(tmp_path: Path) -> None:
    """Namespace, address and result of a sandbox without a bundle go; those of others, and of others' clusters,
    stay."""
    folder, results = tmp_path / "c", tmp_path / "results"
    kept = sandbox(folder, results, "whole", bundle=True)
    lost = sandbox(folder, results, "half-made", bundle=False)
    others = sandbox(tmp_path / "other", results, "elsewhere", bundle=False)
    state = folder / "state"
    assert sorted(give_back(folder, state, results)) == sorted(lost)
    assert [path.exists() for path in (*kept, *lost, *others)] == [True] * 3 + [False] * 3 + [True] * 3
    assert [owner for _, owner in network_results(state, results)] == ["whole"]
    assert give_back(folder, state, results) == []


@root
def test_a_mounted_namespace_is_unmounted(tmp_path: Path) -> None:
    """A network namespace that nobody holds is unmounted before its file goes."""
    [namespace, *_] = sandbox(tmp_path, tmp_path / "results", "half-made", bundle=False)
    subprocess.run(["mount", "--bind", "/proc/self/ns/net", str(namespace)], check=True)
    give_back(tmp_path, tmp_path / "state", tmp_path / "results")
    assert not namespace.exists()
    assert str(namespace) not in Path("/proc/self/mountinfo").read_text()


@root
def test_a_bundle_goes_with_what_runs_from_it(tmp_path: Path) -> None:
    """All that is kept of a bundle goes; a process that only has its number is spared."""
    spared = subprocess.Popen(["sleep", "60"])
    try:
        state = tmp_path / "state"
        kept = [state / leftovers.SHIM_BUNDLES, state / leftovers.RUNC_STATE, tmp_path / leftovers.SHIM_WORK]
        kept = [folder / "stray" for folder in kept]
        for folder in kept:
            folder.mkdir(parents=True)
        (kept[0] / "init.pid").write_text(str(spared.pid))
        remove_bundle("stray", tmp_path / "c.sock", tmp_path, state)
        assert [folder.exists() for folder in kept] == [False] * 3
        assert spared.poll() is None
    finally:
        spared.kill()
        spared.wait()


@pytest.mark.containerd
@pytest.mark.timeout(60)
@pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "containerd is here")
async def test_strays_of_a_real_containerd(tmp_path: Path) -> None:
    """A bundle that containerd does not know is removed at the second look; a sandbox stays."""
    async with private_containerd(tmp_path) as private:
        runtime, config = private.runtime, private.process.config
        known = await runtime.sandboxes.run(
            SandboxConfig(
                "a", "default", "u", cgroup_parent=f"{private.cgroup}/pod", log_directory=str(tmp_path)
            )
        )
        stray = config.state / leftovers.SHIM_BUNDLES / "stray"
        stray.mkdir()
        strays = Strays(config)
        assert await strays.look(every=False) == set()
        assert await strays.look(every=False) == {"stray"}
        assert not stray.exists()
        assert (await runtime.sandboxes.status(known)).state == "ready"
        async with Records(config.socket) as records:
            assert await records.unknown([known, "stray"]) == {"stray"}
        await ContainerdProcess(config).stop()
        await ContainerdProcess(config).start()
        assert known in os.listdir(config.state / leftovers.SHIM_BUNDLES)
