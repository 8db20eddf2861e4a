"""containerd's configuration file is valid TOML of the version that the containerd at hand reads."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from minikube_py.cluster.cni import CniConfig, plugin_folder
from minikube_py.cluster.containerd_config import (
    ContainerdConfig,
    lacks_resource_capability,
    render,
    version_of,
)

CONFIG = ContainerdConfig(
    folder=Path('/home/a "quoted" user/containerd'),
    socket=Path("/run/x/containerd.sock"),
    log=Path("/log"),
    cni_plugins=Path("/usr/lib/cni"),
    sandbox_image="minikube-py.local/pause:1",
    restrict_oom_score=True,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n", (1, 6)),
        ("containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da\n", (1, 7)),
        ("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490e9fbdc236c0e\n", (2, 1)),
        ("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1\n", (1, 7)),
        ("containerd github.com/containerd/containerd/v2 2.1.9+unknown \n", (2, 1)),
        ("containerd github.com/containerd/containerd/v2 2.10.0~rc1 \n", (2, 10)),
        ("something else\n", (1, 0)),
    ],
)
def test_the_version(text: str, version: tuple[int, int]) -> None:
    """The version is read from what each distribution prints."""
    assert version_of(text) == version


@pytest.mark.parametrize(
    ("version", "file_version", "runtime", "setting"),
    [
        ((1, 6), 2, "io.containerd.grpc.v1.cri", {"bin_dir": "/usr/lib/cni"}),
        ((1, 7), 2, "io.containerd.grpc.v1.cri", {"bin_dir": "/usr/lib/cni"}),
        ((2, 0), 3, "io.containerd.cri.v1.runtime", {"bin_dir": "/usr/lib/cni"}),
        ((2, 1), 3, "io.containerd.cri.v1.runtime", {"bin_dirs": ["/usr/lib/cni"]}),
        ((2, 3), 3, "io.containerd.cri.v1.runtime", {"bin_dirs": ["/usr/lib/cni"]}),
        ((2, 10), 3, "io.containerd.cri.v1.runtime", {"bin_dirs": ["/usr/lib/cni"]}),
    ],
)
def test_what_each_version_reads(
    version: tuple[int, int], file_version: int, runtime: str, setting: dict[str, object]
) -> None:
    """Each version finds its plugin's name and its setting of CNI's folder, and never both settings."""
    document = tomllib.loads(render(CONFIG, version))
    plugin = document["plugins"][runtime]
    assert document["version"] == file_version
    assert plugin["cni"] == setting | {"conf_dir": '/home/a "quoted" user/containerd/cni'}
    assert (plugin["enable_unprivileged_ports"], plugin["restrict_oom_score_adj"]) == (True, True)
    assert plugin["containerd"]["runtimes"]["runc"]["runtime_type"] == "io.containerd.runc.v2"
    assert all(name.startswith("io.containerd.") for name in document["disabled_plugins"])


def test_version_2_for_containerd_1() -> None:
    """One CRI plugin holds everything."""
    document = tomllib.loads(render(CONFIG, (1, 6)))
    cri = document["plugins"]["io.containerd.grpc.v1.cri"]
    assert (document["version"], document["root"], document["grpc"]["address"]) == (
        2,
        '/home/a "quoted" user/containerd/root',
        "/run/x/containerd.sock",
    )
    assert (cri["sandbox_image"], cri["restrict_oom_score_adj"], cri["netns_mounts_under_state_dir"]) == (
        "minikube-py.local/pause:1",
        True,
        True,
    )
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": '/home/a "quoted" user/containerd/cni'}
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_version_3_for_containerd_2() -> None:
    """Images, runtime and streams are plugins of their own."""
    document = tomllib.loads(render(CONFIG, (2, 0)))
    plugins = document["plugins"]
    assert document["version"] == 3
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"] == {"sandbox": "minikube-py.local/pause:1"}
    assert plugins["io.containerd.cri.v1.runtime"]["containerd"]["default_runtime_name"] == "runc"
    assert plugins["io.containerd.grpc.v1.cri"]["stream_server_address"] == "127.0.0.1"


@pytest.mark.parametrize(("mask", "lacks"), [("000001ffffffffff", False), ("000001fffeffffff", True)])
def test_the_capability_for_oom_scores(mask: str, lacks: bool, tmp_path: Path) -> None:
    """CAP_SYS_RESOURCE is bit 24 of CapEff."""
    (tmp_path / "status").write_text(f"Name:\tx\nCapEff:\t{mask}\nCapBnd:\t{mask}\n")
    assert lacks_resource_capability(tmp_path / "status") is lacks


def test_the_cni_configuration(tmp_path: Path) -> None:
    """A bridge with hairpin and host-local addresses; no masquerading, no port mapping; written once."""
    config = CniConfig(tmp_path / "cni", tmp_path / "data", "mkpy0", "10.244.0.0/24", "10.244.0.1", mtu=1400)
    config.write()
    [file] = (tmp_path / "cni").iterdir()
    changed = file.stat().st_mtime_ns
    config.write()
    assert file.stat().st_mtime_ns == changed
    document = json.loads(file.read_text())
    assert document["plugins"] == [
        {
            "type": "bridge",
            "bridge": "mkpy0",
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "dataDir": str(tmp_path / "data"),
                "ranges": [[{"subnet": "10.244.0.0/24", "gateway": "10.244.0.1"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ]


def test_the_plugins_folder_holds_all_plugins(tmp_path: Path) -> None:
    """A folder that lacks one plugin is passed over."""
    for folder, plugins in (("one", ("bridge", "loopback")), ("two", ("bridge", "loopback", "host-local"))):
        (tmp_path / folder).mkdir()
        for plugin in plugins:
            (tmp_path / folder / plugin).touch(mode=0o755)
    assert plugin_folder((str(tmp_path / "one"), str(tmp_path / "two"))) == tmp_path / "two"
    assert plugin_folder((str(tmp_path / "one"),)) is None


@pytest.mark.parametrize("version", [(1, 6), (2, 1)])
def test_state_may_lie_elsewhere(version: tuple[int, int]) -> None:
    """The bundles, and what runc keeps, follow the state's folder; what persists stays."""
    text = render(replace(CONFIG, state_folder=Path("/run/minikube-py/x")), version)
    lines = [line for line in text.splitlines() if line.startswith(("state =", "Root =", "root ="))]
    assert lines == [
        f"root = {json.dumps(str(CONFIG.root))}",
        'state = "/run/minikube-py/x"',
        'Root = "/run/minikube-py/x/runc"',
    ]


@pytest.mark.parametrize(("version", "expected"), [((1, 6), False), ((1, 7), True)])
def test_device_names_are_understood(version: tuple[int, int], expected: bool) -> None:
    """The Container Device Interface is on where containerd has it and leaves it off."""
    cri = tomllib.loads(render(CONFIG, version))["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri.get("enable_cdi", False) == expected
