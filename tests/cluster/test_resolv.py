"""Which resolv.conf is the pods'."""

from pathlib import Path

import pytest

from minikube_py.cluster.resolv import resolv_conf

STUB = "# systemd's\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"


@pytest.mark.parametrize(
    ("usual", "uplink", "expected"),
    [
        (STUB, "nameserver 192.0.2.1\n", "uplink"),
        ("nameserver ::1\nnameserver 127.0.0.1\n", "nameserver 192.0.2.1\n", "uplink"),
        (STUB, None, "usual"),
        ("nameserver 192.0.2.7\nnameserver 127.0.0.53\n", "nameserver 192.0.2.1\n", "usual"),
        ("nameserver fe80::1%eth0\n", "nameserver 192.0.2.1\n", "usual"),
        ("search example.org\n", "nameserver 192.0.2.1\n", "usual"),
        (None, "nameserver 192.0.2.1\n", "usual"),
    ],
    ids=["stub", "loopback", "no resolved", "a server beside", "link-local", "no server", "no file"],
)
def test_resolv_conf(tmp_path: Path, usual: str | None, uplink: str | None, expected: str) -> None:
    """A stub on loopback is no use to a pod; everything else is taken as it is."""
    for name, text in (("usual", usual), ("uplink", uplink)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert resolv_conf(tmp_path / "usual", tmp_path / "uplink") == tmp_path / expected
