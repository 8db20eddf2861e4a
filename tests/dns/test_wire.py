"""The DNS codec, with dnslib as the oracle."""

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.dns import wire

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)


@given(NAME, st.sampled_from([wire.A, wire.AAAA, wire.SRV, wire.PTR]), st.booleans())
def test_parse_reads_what_dnslib_writes(name: str, type: int, edns: bool) -> None:
    """A question of any name and type is read as it was asked."""
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, type))
    if edns:
        question.add_ar(dnslib.EDNS0(udp_len=4096))
    query = wire.parse(question.pack())
    assert (name, type, edns) == (query.name, query.type, query.edns)
    assert (wire.EDNS_UDP if edns else wire.PLAIN_UDP) == query.udp_size


@given(NAME, st.lists(st.ip_addresses(v=4), max_size=5))
def test_dnslib_reads_what_answer_writes(name: str, addresses: list[object]) -> None:
    """Answers are well-formed, with the records in order."""
    query = wire.parse(dnslib.DNSRecord.question(name).pack())
    records = [wire.a(query.name, str(address), 5) for address in addresses]
    records.append(wire.srv(f"_http._tcp.{query.name}", 80, "web.example", 5))
    response = dnslib.DNSRecord.parse(wire.answer(query, records))
    assert [*map(str, addresses), "0 100 80 web.example."] == [str(rr.rdata) for rr in response.rr]
    assert query.id == response.header.id


@given(st.binary(max_size=80))
def test_parse_refuses_any_garbage(message: bytes) -> None:
    """Whatever arrives, parse returns a query or raises Malformed."""
    try:
        wire.parse(message)
    except wire.Malformed:
        return


def test_names_that_point_in_circles_are_refused() -> None:
    """A compression pointer to itself ends in Malformed, not in a loop."""
    header = (1).to_bytes(2, "big") + b"\1\0" + b"\0\1" + b"\0" * 6
    with pytest.raises(wire.Malformed):
        wire.parse(header + b"\xc0\x0c\0\1\0\1")


def test_answers_over_the_limit_are_truncated() -> None:
    """Too large an answer is emptied and marked, so that the client comes back by TCP."""
    query = wire.parse(dnslib.DNSRecord.question("a.b").pack())
    records = [wire.a("a.b", f"10.0.0.{n}", 5) for n in range(100)]
    response = dnslib.DNSRecord.parse(wire.answer(query, records, limit=512))
    assert (response.header.tc, response.rr) == (1, [])
