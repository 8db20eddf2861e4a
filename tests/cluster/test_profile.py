"""A profile's paths and names are its own, and what it was given stays."""

import ipaddress
import stat
import tempfile
from pathlib import Path

import pytest

from minikube_py.cluster.profile import (
    SLOTS,
    BadProfile,
    Network,
    Profile,
    choose,
    default_home,
    names,
    routes,
    slot,
)

NO_ROUTES = Path("/nonexistent")


def any_port(_: Network) -> bool:
    """As if nobody listened on this machine."""
    return True


def test_the_default_profile(tmp_path: Path) -> None:
    """The default profile has Kubernetes' usual addresses and short names."""
    profile = Profile(home=tmp_path)
    assert profile.folder == tmp_path / "profiles" / "minikube-py"
    assert (profile.bridge, profile.nft_table, profile.cgroup_root, profile.node_name) == (
        "mkpy0",
        "minikube-py",
        "/minikube-py",
        "minikube-py",
    )
    assert profile.claim_network(NO_ROUTES, any_port, tmp_path / "told") == Network(
        "10.244.0.0/24", "10.96.0.0/12", 8443, 10250, 10053
    )


def test_addresses_within_a_network() -> None:
    """Gateway, kubernetes and kube-dns have their fixed places."""
    network = slot(0)
    assert (network.gateway, network.gateway_with_prefix, network.kubernetes_ip, network.dns_ip) == (
        "10.244.0.1",
        "10.244.0.1/24",
        "10.96.0.1",
        "10.96.0.10",
    )


def test_home_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MINIKUBE_PY_HOME moves everything; without it, it is in the user's home."""
    monkeypatch.setenv("MINIKUBE_PY_HOME", str(tmp_path / "elsewhere"))
    assert Profile().home == tmp_path / "elsewhere"
    monkeypatch.delenv("MINIKUBE_PY_HOME")
    assert default_home() == Path.home() / ".minikube-py"


def test_two_profiles_share_nothing(tmp_path: Path) -> None:
    """A second profile gets other networks, ports, bridge, table and cgroup."""
    first, second = Profile("minikube-py", tmp_path), Profile("dev", tmp_path)
    one, two = (
        first.claim_network(NO_ROUTES, any_port, tmp_path / "told"),
        second.claim_network(NO_ROUTES, any_port),
    )
    nets = [ipaddress.IPv4Network(cidr) for n in (one, two) for cidr in (n.pod_cidr, n.service_cidr)]
    assert not any(a.overlaps(b) for i, a in enumerate(nets) for b in nets[i + 1 :])
    assert not {one.api_port, one.kubelet_port, one.dns_port} & {two.api_port, two.kubelet_port, two.dns_port}
    for name in ("bridge", "nft_table", "cgroup_root", "containerd_socket", "containerd_state", "pid_file"):
        assert getattr(first, name) != getattr(second, name)
    assert names(tmp_path) == ["dev", "minikube-py"]


def test_a_network_is_kept(tmp_path: Path) -> None:
    """A profile has the same network at every start, even when an earlier one is gone."""
    first, second = Profile("a", tmp_path), Profile("b", tmp_path)
    first.claim_network(NO_ROUTES, any_port, tmp_path / "told")
    claimed = second.claim_network(NO_ROUTES, any_port, tmp_path / "told")
    first.config_file.unlink()
    assert Profile("b", tmp_path).claim_network(NO_ROUTES, any_port, tmp_path / "told") == claimed
    assert Profile("c", tmp_path).claim_network(NO_ROUTES, any_port, tmp_path / "told") == slot(0)


def test_every_slot_differs() -> None:
    """The slots are all apart, and one more is refused with advice."""
    taken: list[Network] = []
    for _ in range(SLOTS):
        taken.append(choose(taken))
    assert len({network.service_cidr for network in taken}) == SLOTS
    assert not any(
        ipaddress.IPv4Network(a.pod_cidr).overlaps(ipaddress.IPv4Network(b.service_cidr))
        for a in taken
        for b in taken
    )
    with pytest.raises(BadProfile, match="minikube-py delete"):
        choose(taken)


def test_networks_that_the_machine_routes_are_avoided() -> None:
    """A route within a slot's networks makes the next slot be taken."""
    assert choose([], [ipaddress.IPv4Network("10.100.0.0/16")]) == slot(1)


def test_routes_of_the_kernel() -> None:
    """The default route and the profile's own bridge are left out."""
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "mkpy0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert routes(table, ignore="mkpy0") == [ipaddress.IPv4Network("192.168.0.0/16")]


@pytest.mark.parametrize("name", ["", "../up", "UPPER", "a" * 41, "-a", "a-", "a b", "a/b", "ä"])
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    """A name that could leave the folder, or be no node name, is refused."""
    with pytest.raises(BadProfile, match="bad profile name"):
        Profile(name, tmp_path)


@pytest.mark.parametrize("name", ["a", "dev", "a-rather-long-profile-name-of-40-letters"])
def test_a_bridge_name_fits_the_kernel(name: str, tmp_path: Path) -> None:
    """At most 15 characters, whatever the profile's name."""
    assert len(Profile(name, tmp_path).bridge) <= 15


def test_a_long_home_still_gives_a_usable_socket(tmp_path: Path) -> None:
    """A unix socket's path is limited; a long home moves the socket to /run, one per profile."""
    home = tmp_path / ("x" * 120)
    sockets = {Profile(name, home).containerd_socket for name in ("a", "b")}
    assert all(len(str(socket)) <= 100 and socket.is_relative_to("/run") for socket in sockets)
    assert len(sockets) == 2


def test_folders_are_the_owners() -> None:
    """Folders are made with mode 0700, again and again."""
    with tempfile.TemporaryDirectory(prefix="mkpy") as short:  # a long home's socket would be in /run
        profile = Profile("dev", Path(short) / "home")
        profile.make_folders()
        profile.make_folders()
        made = (profile.folder, profile.pki, profile.logs, profile.pod_logs, profile.kubelet, profile.storage)
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (*made, profile.containerd)} == {0o700}


def test_bundles_lie_where_others_may_pass() -> None:
    """Users of pods' own user namespaces reach containerd's bundles, whatever the home: root's, say."""
    profile = Profile("dev", Path("/root/.minikube-py"))
    assert profile.containerd_state.parent == Path("/run/minikube-py")
    assert profile.containerd_state != Profile("dev", Path("/root/other")).containerd_state


@pytest.mark.parametrize("text", ["{", "[]", '{"network": {"pods": 1}}'])
def test_a_damaged_config_is_named(text: str, tmp_path: Path) -> None:
    """The file is named, and not overwritten."""
    profile = Profile("dev", tmp_path)
    profile.folder.mkdir(parents=True)
    profile.config_file.write_text(text)
    with pytest.raises(BadProfile, match=r"config\.json is damaged"):
        profile.claim_network(NO_ROUTES, any_port, tmp_path / "told")
    assert profile.config_file.read_text() == text


def test_ports_in_use_are_avoided(tmp_path: Path) -> None:
    """A cluster that another home's cluster leaves no port for takes the next network."""
    taken = Profile("new", tmp_path).claim_network(
        NO_ROUTES, lambda network: network.api_port != 8443, tmp_path / "told"
    )
    assert taken == slot(1)
