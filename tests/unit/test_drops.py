"""The tracepoint's format, records out of the ring, addresses into names."""

import mmap
import struct
import threading
from collections import Counter

import pytest

from harness.kernel import drops
from harness.kernel.drops import Drop, DropTrace

FORMAT = """\
name: kfree_skb
ID: 2310
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;
\tfield:void * rx_sk;\toffset:24;\tsize:8;\tsigned:0;
\tfield:unsigned short protocol;\toffset:32;\tsize:2;\tsigned:0;
\tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\tsigned:0;

print fmt: "…", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 12, "NETFILTER_DROP" })
"""
# Before Linux 5.17 there was no reason.
OLD_FORMAT = """\
format:
\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned short protocol;\toffset:24;\tsize:2;\tsigned:0;
"""
KALLSYMS = b"""\
ffffffff81000000 T _stext
ffffffff81000100 T nft_do_chain
ffffffff81000200 t should_deliver.isra.0
ffffffffc0000000 t macvlan_handle_frame\t[macvlan]
"""
RING = 64 * mmap.PAGESIZE


def sample(location=0xFFFFFFFF81000123, protocol=0x88B5, reason=12, who=None):
    """One record of the ring, as the kernel writes it; `who` is this thread if not told."""
    raw = struct.pack("=8xQQQHxxI4x", 1, location, 0, protocol, reason)
    return enveloped(raw, threading.get_native_id() if who is None else who)


def enveloped(raw, who):
    return struct.pack("=IHHIII", 9, 0, 20 + len(raw), who, who, len(raw)) + raw


def lost():
    return struct.pack("=IHHQQ", 2, 0, 24, 0, 7)


@pytest.fixture(autouse=True)
def _symbols(monkeypatch, tmp_path):
    path = tmp_path / "kallsyms"
    path.write_bytes(KALLSYMS)
    drops._symbols.cache_clear()
    monkeypatch.setattr(drops, "Path", lambda _: path)
    yield
    drops._symbols.cache_clear()


@pytest.fixture
def trace():
    """``trace(records, start)``: a trace whose ring holds these, the first at `start`."""

    def make(*records, start=0, text=FORMAT):
        made = DropTrace.__new__(DropTrace)
        made._format = drops._parse_format(2310, text)
        made._map = bytearray(mmap.PAGESIZE + RING)
        data = b"".join(records)
        struct.pack_into("=QQ", made._map, 1024, start + len(data), start)
        for i, byte in enumerate(data):
            made._map[mmap.PAGESIZE + (start + i) % RING] = byte
        return made

    return make


def test_drops_are_counted_by_reason_and_function(trace):
    found = trace(sample(), sample(), sample(location=0xFFFFFFFF81000210, reason=2)).take({0x88B5})
    assert found == Counter(
        {Drop("NETFILTER_DROP", "nft_do_chain"): 2, Drop("NOT_SPECIFIED", "should_deliver"): 1}
    )


def test_only_asked_for_protocols(trace):
    assert trace(sample(protocol=0x0800), sample()).take({0x88B5}).total() == 1


@pytest.mark.parametrize(
    ("cmdline", "counts"),
    [
        pytest.param(b"", 1, id="a thread of the kernel"),
        pytest.param(b"python\0-m\0harness\0", 0, id="another process"),
        pytest.param(None, 0, id="gone by now"),
    ],
)
def test_whose_drops_count(trace, monkeypatch, tmp_path, cmdline, counts):
    """What another process sends on this CPU is dropped on its own time."""
    if cmdline is not None:
        (tmp_path / "cmdline").write_bytes(cmdline)
    given = trace(sample(who=4_000_000))
    monkeypatch.setattr(
        drops, "Path", lambda p: tmp_path / ("cmdline" if "/4000000/" in p else "kallsyms")
    )
    assert given.take({0x88B5}).total() == counts


def test_drops_of_who_is_in_no_namespace_of_ours_count(trace):
    """Softirqs run in the idle thread too, and in the kernel's threads outside a container."""
    assert trace(sample(who=0)).take({0x88B5}).total() == 1


def test_what_was_taken_is_gone(trace):
    given = trace(sample())
    assert given.take({0x88B5}).total() == 1
    assert given.take({0x88B5}).total() == 0


def test_other_records_are_passed_over(trace):
    assert trace(lost(), sample(), lost()).take({0x88B5}).total() == 1


@pytest.mark.parametrize("before_the_end", range(8, 64, 8))
def test_a_record_over_the_end_of_the_ring(trace, before_the_end):
    """Some times round already, and torn wherever it may be."""
    start = 5 * RING - before_the_end
    assert trace(sample(), start=start).take({0x88B5}) == {
        Drop("NETFILTER_DROP", "nft_do_chain"): 1
    }


def test_a_reason_of_another_kernel_has_its_number(trace):
    (drop,) = trace(sample(reason=99)).take({0x88B5})
    assert str(drop) == "reason 99 in nft_do_chain"


def test_a_kernel_without_reasons(trace):
    raw = struct.pack("=8xQQH6x", 1, 0xFFFFFFFF81000123, 0x88B5)
    (drop,) = trace(enveloped(raw, 0), text=OLD_FORMAT).take({0x88B5})
    assert str(drop) == "in nft_do_chain"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81000100, "nft_do_chain"),
        (0xFFFFFFFF810001FF, "nft_do_chain"),
        (0xFFFFFFFF81000200, "should_deliver"),
        (0xFFFFFFFFC0000042, "macvlan_handle_frame"),
        (0x10, ""),
    ],
)
def test_an_address_has_the_name_of_the_function_around_it(address, name):
    assert drops._function(address) == name


def test_symbols_that_are_kept_secret(tmp_path):
    """All addresses are 0 then (kptr_restrict)."""
    (tmp_path / "kallsyms").write_bytes(b"0000000000000000 T _stext\n")
    assert drops._function(0xFFFFFFFF81000123) == ""
    assert str(Drop("NOMEM", "")) == "NOMEM in a function that is kept secret"
