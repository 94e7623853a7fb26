"""What rtnetlink tells of a macvtap, and that nlmon shows every message of it.

a [tap]--.
         lower ----- far        a listener on RTNLGRP_LINK, nlmon beside it
b [tap]--'
"""

import errno

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.links import add_macvtap, change_guest, delete_link, set_guest, set_mac
from harness.kernel.netlink import RTM_NEWLINK
from harness.kernel.nlmon import RTM_DELLINK, LinkNotifications, NetlinkTap

NUMBERS = {Mode.PRIVATE: 1, Mode.VEPA: 2, Mode.BRIDGE: 4, Mode.PASSTHRU: 8, Mode.SOURCE: 16}
A = "02:68:70:01:00:01"
OTHER = "02:68:70:01:00:42"
ERROR = 2  # NLMSG_ERROR: an acknowledgement, too
each_mode = pytest.mark.parametrize("mode", list(Mode))


@pytest.fixture
def news(cable):
    """``news()``: a cable, and what its namespace's listener is told from then on."""
    opened = []

    def news(*guests):
        bed = cable(*guests)
        opened.append(LinkNotifications(bed.ns))
        return bed, opened[-1]

    yield news
    for listener in opened:
        listener.close()


def _guest(mode, **fields):
    sources = (OTHER,) if mode is Mode.SOURCE else ()
    mac = "" if mode is Mode.PASSTHRU else A
    return Guest("a", mode, mac=mac, sources=sources, **fields)


def _told(listener, name="a"):
    """Of that link: the type of each message, and the link as it was then."""
    return [(x.kind, x.link) for x in listener.read() if x.name == name]


def _facts(link):
    """What a message says of a macvtap: its lower device, whether it is up, its mode."""
    about = link.get_attr("IFLA_LINKINFO")
    mode = about.get_attr("IFLA_INFO_DATA").get_attr("IFLA_MACVTAP_MODE")
    return about.get_attr("IFLA_INFO_KIND"), link.get_attr("IFLA_LINK"), Mode(mode)


@each_mode
def test_creation(news, mode):
    """All that is said of it from the first message on: kind, lower device, mode, and its address.

    A passthru guest has its lower device's, whatever is asked for (macvlan_init).
    """
    bed, listener = news()
    bed.add(_guest(mode))
    told = _told(listener)
    assert told, "macvlan_common_newlink"
    assert {kind for kind, _ in told} == {RTM_NEWLINK}
    assert {_facts(link) for _, link in told} == {("macvtap", bed.index["lower"], mode)}
    expected = bed.mac("lower") if mode is Mode.PASSTHRU else A
    assert {link.get_attr("IFLA_ADDRESS") for _, link in told} == {expected}
    assert told[-1][1]["flags"] & 1, "it is up in the end"


def test_passthru_makes_promiscuous(news):
    """Of the lower device it is told that it is promiscuous now, and no longer when it goes."""
    bed, listener = news()
    bed.add(_guest(Mode.PASSTHRU))
    came = _told(listener, "lower")
    bed.delete("a")
    went = _told(listener, "lower")
    counts = [told[-1][1].get_attr("IFLA_PROMISCUITY") for told in (came, went) if told]
    assert counts == [1, 0], "dev_set_promiscuity, __dev_notify_flags; net/core/dev.c"


@pytest.mark.parametrize(
    ("before", "after"), [(Mode.VEPA, Mode.BRIDGE), (Mode.BRIDGE, Mode.PRIVATE)], ids=str
)
def test_another_mode(news, before, after):
    """The last message has it."""
    bed, listener = news(_guest(before))
    bed.do(change_guest(_guest(after), index=bed.index["a"]))
    assert [_facts(link)[2] for _, link in _told(listener)][-1:] == [after], "do_setlink"


def test_another_address(news):
    """NETDEV_CHANGEADDR: one message, with the new address."""
    bed, listener = news(_guest(Mode.VEPA))
    bed.do(set_mac("a", OTHER, index=bed.index["a"]))
    assert [x.get_attr("IFLA_ADDRESS") for _, x in _told(listener)][-1:] == [OTHER]


def test_refusals_are_not_told(news):
    """What was not done nobody is told of: a guest beside one in passthru mode."""
    bed, listener = news(_guest(Mode.PASSTHRU))
    with pytest.raises(KernelError):
        bed.add(Guest("b", Mode.VEPA, mac=OTHER))
    assert _told(listener, "b") == []


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.PASSTHRU])
def test_deletion(news, mode):
    """RTM_DELLINK is the last word, and there is one."""
    bed, listener = news(_guest(mode))
    bed.delete("a")
    kinds = [kind for kind, _ in _told(listener)]
    assert (kinds.count(RTM_DELLINK), kinds[-1]) == (1, RTM_DELLINK)


def test_the_lower_device_goes(news):
    """Its guests go before it, each with a word (macvlan_device_event, NETDEV_UNREGISTER)."""
    bed, listener = news(_guest(Mode.VEPA), Guest("b", Mode.BRIDGE, mac=OTHER))
    bed.do(delete_link("far", index=bed.index["far"]))
    gone = [x.name for x in listener.read() if x.kind == RTM_DELLINK]
    assert sorted(gone) == ["a", "b", "far", "lower"]
    assert max(gone.index("a"), gone.index("b")) < gone.index("lower")


def test_nlmon_shows_it_all(news):
    """Each request, each acknowledgement, and to the byte what a listener is told."""
    bed, listener = news()
    try:
        tap = NetlinkTap(bed.ns, index=bed.claim("nlmon"))
    except KernelError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip(f"this kernel has no nlmon ({error.detail})")
        raise
    with tap:
        listener.read(), tap.read()
        guest = _guest(Mode.BRIDGE)
        index = bed.claim("a")
        requests = [
            add_macvtap(guest, index=index, lower=bed.index["lower"]),
            change_guest(_guest(Mode.VEPA), index=index),
            set_guest(_guest(Mode.VEPA, up=False), index=index),
            delete_link("a", index=index),
        ]
        for request in requests:
            bed.do(request)
        told = [x.data for x in listener.read()]
        passed = tap.read()  # after that, as linkwatch may say something at any time
    first = passed[0].sequence
    for sequence, request in enumerate(requests, first):
        of_it = [x for x in passed if x.sequence == sequence]
        assert of_it[0].data == request.encoded(sequence)
        assert [x.kind for x in of_it].count(ERROR) == 1
    assert told
    assert [x.data for x in passed if x.data in told][: len(told)] == told
