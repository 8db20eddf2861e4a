"""Firewalls that stand in the pods' way, in the rulesets that nft prints."""

import json
from typing import Any

import pytest

from minikube_py.cluster.firewall import hindering, hindrances

BRIDGE, PODS = "mkpy0", "10.244.0.0/24"


def table(name: str, family: str = "ip") -> dict[str, Any]:
    return {"table": {"family": family, "name": name, "handle": 1}}


def chain(name: str, of: str = "filter", family: str = "ip", **more: str) -> dict[str, Any]:
    return {"chain": {"family": family, "table": of, "name": name, "handle": 1} | more}


def rule(of: str, left: str, right: Any) -> dict[str, Any]:
    match = {"match": {"op": "==", "left": {"meta": {"key": left}}, "right": right}}
    return {"rule": {"family": "ip", "table": of, "chain": "FORWARD", "expr": [match, {"accept": None}]}}


DROPPING = chain("FORWARD", hook="forward", policy="drop")
ACCEPTING = chain("FORWARD", hook="forward", policy="accept")
SOURCE = {"prefix": {"addr": "10.244.0.0", "len": 24}}
LET = "iptables -I {0} -i mkpy0 -j ACCEPT && iptables -I {0} -o mkpy0 -j ACCEPT"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], []),
        ([table("filter"), ACCEPTING, chain("INPUT", hook="input", policy="drop")], []),
        ([table("filter"), DROPPING, rule("filter", "iifname", "docker0")], [LET.format("FORWARD")]),
        ([table("filter"), DROPPING, chain("DOCKER-USER")], [LET.format("DOCKER-USER")]),
        ([table("filter"), DROPPING, chain("DOCKER-USER"), rule("filter", "iifname", "mkpy0")], []),
        (
            [chain("fwd", "mine", "inet", hook="forward", policy="drop")],
            [
                "nft insert rule inet mine fwd iifname mkpy0 accept && "
                "nft insert rule inet mine fwd oifname mkpy0 accept"
            ],
        ),
        (
            [table("firewalld", "inet")],
            [f"firewall-cmd --permanent --zone=trusted --add-source={PODS} && firewall-cmd --reload"],
        ),
        ([table("firewalld", "inet"), rule("firewalld", "saddr", SOURCE)], []),
    ],
    ids=["none", "input", "iptables", "docker", "let pass", "nftables", "firewalld", "firewalld trusts"],
)
def test_hindering(entries: list[dict[str, Any]], expected: list[str]) -> None:
    """Each firewall comes with its command, until it names the pods."""
    told = json.loads(json.dumps([{"metainfo": {"version": "1.0.6"}}, *entries]))
    found = list(hindering(told, BRIDGE, PODS))
    assert [text.partition("let it pass: ")[2] for text in found] == expected


async def test_this_machine() -> None:
    """Whatever this machine's rules are, each hindrance is a line with a command; without nft there is none."""
    found = await hindrances(BRIDGE, PODS)
    assert all("let it pass: " in line and "\n" not in line for line in found)
