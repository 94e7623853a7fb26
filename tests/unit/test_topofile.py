"""Topology files: what is written is read again, and what is wrong is said with its place."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import TopologyError
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.topofile import dump_topology, load_topology, parse_topology
from harness.topology import Topology
from harness.validity import RESERVED_NAMES

# ---------------------------------------------------------------------- round trip

NAME_REST = st.text(string.ascii_lowercase + string.digits + "-", max_size=14)
NAMES = st.tuples(st.sampled_from(string.ascii_lowercase), NAME_REST).map("".join)
OCTETS = st.lists(st.integers(0, 255), min_size=5, max_size=5)
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.SOURCE]


def _mac(first, rest):
    return ":".join(f"{octet:02x}" for octet in (first, *rest))


UNICAST = st.builds(_mac, st.just(0x06), OCTETS)  # not among the derived ones, which begin with 02
GROUP = st.builds(_mac, st.sampled_from([0x01, 0x33, 0xFF]), OCTETS)
FLAG = st.booleans()


@st.composite
def topologies(draw):
    """Any valid topology of a handful of stations."""
    names = iter(
        draw(st.lists(NAMES.filter(lambda n: n not in RESERVED_NAMES), min_size=12, unique=True))
    )
    macs = iter(draw(st.lists(UNICAST, min_size=12, max_size=12, unique=True)))

    def address():
        mac = next(macs)
        return mac if draw(FLAG) else ""

    mtus = st.sampled_from([68, 1500, 9000, 65535])
    kinds = st.sampled_from([LowerKind.VETH, LowerKind.DUMMY])
    lowers = [
        Lower(name=next(names), kind=draw(kinds), mac=address(), mtu=draw(mtus))
        for _ in range(draw(st.integers(1, 2)))
    ]
    if draw(FLAG):
        lowers.append(
            Lower(
                name=next(names),
                kind=LowerKind.VLAN,
                parent=lowers[0].name,
                vlan=draw(st.integers(1, 4094)),
                mac=address(),
            )
        )
    guests = []
    for lower in lowers:
        if draw(st.integers(0, 3)) == 0:
            guests.append(_guest(draw, next(names), Mode.PASSTHRU, lower.name, ""))
        else:
            for _ in range(draw(st.integers(0, 2))):
                mode = draw(st.sampled_from(MODES))
                guests.append(_guest(draw, next(names), mode, lower.name, address()))
    externals = [External(next(names), address()) for _ in range(draw(st.integers(0, 2)))]
    router = Router(next(names), address()) if draw(FLAG) else None
    plain = Topology(guests, lowers=lowers, externals=externals, router=router)
    ports = tuple(_port(draw, to) for to in plain.plugged() if draw(FLAG))
    switch = Switch(hairpin=draw(FLAG), vlan_filtering=draw(FLAG), ports=ports)
    return Topology(guests, lowers=lowers, externals=externals, router=router, switch=switch)


def _guest(draw, name, mode, lower, mac):
    lists_sources = mode is Mode.SOURCE
    return Guest(
        name,
        mode,
        lower,
        mac,
        sources=tuple(draw(st.lists(UNICAST, max_size=2, unique=True))) if lists_sources else (),
        nodst=lists_sources and draw(FLAG),
        nopromisc=mode is Mode.PASSTHRU and draw(FLAG),
        groups=tuple(draw(st.lists(GROUP, max_size=2, unique=True))),
        allmulticast=draw(FLAG),
        promiscuous=draw(FLAG),
        bcqueuelen=draw(st.none() | st.integers(0, (1 << 32) - 1)),
        bc_cutoff=draw(st.none() | st.integers(-1, (1 << 31) - 1)),
        up=draw(FLAG),
    )


def _port(draw, to):
    vids = st.integers(1, 4094)
    return Port(
        to=to,
        hairpin=draw(st.none() | FLAG),
        learning=draw(FLAG),
        flood=draw(FLAG),
        multicast_flood=draw(FLAG),
        pvid=draw(vids),
        vlans=tuple(draw(st.lists(vids, max_size=3))),
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(topologies())
def test_what_is_written_is_read_again(topology):
    assert parse_topology(dump_topology(topology)) == topology


def test_file_round_trip(tmp_path):
    topology = Topology([Guest("a", Mode.BRIDGE)], switch=Switch(hairpin=True))
    path = tmp_path / "topology.toml"
    path.write_text(dump_topology(topology), encoding="utf-8")
    assert load_topology(path) == topology


def test_written_for_people():
    """A table a paragraph; what is as it would be anyway is left out, but for names."""
    topology = Topology(
        [Guest("a"), Guest("p", Mode.PASSTHRU, lower="right")],
        lowers=[Lower(), Lower(name="right")],
        switch=Switch(hairpin=True, ports=(Port(to="external", flood=False),)),
        externals=[External()],
    )
    assert (
        dump_topology(topology)
        == """\
[[lower]]
name = "lower"
mac = "02:68:70:02:00:01"

[[lower]]
name = "right"
mac = "02:68:70:02:00:02"

[[guest]]
name = "a"
mac = "02:68:70:01:00:01"

[[guest]]
name = "p"
mode = "passthru"
lower = "right"

[[external]]
name = "external"
mac = "02:68:70:03:00:01"

[switch]
hairpin = true

[[switch.port]]
to = "external"
flood = false
"""
    )


# ---------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "topology"),
    [
        pytest.param("", Topology(), id="empty file"),
        pytest.param('[[guest]]\nname = "a"', Topology([Guest("a")]), id="all defaults"),
        pytest.param(
            '[[guest]]\nname = "a"\nmode = "passthrough"',
            Topology([Guest("a", Mode.PASSTHRU)]),
            id="libvirt's word",
        ),
        pytest.param("external = []", Topology(externals=[]), id="no external"),
        pytest.param("[router]", Topology(router=Router()), id="router by its header"),
        pytest.param(
            "[switch]\nhairpin = true", Topology(switch=Switch(hairpin=True)), id="switch"
        ),
        pytest.param(
            '[[switch.port]]\nto = "lower"\nvlans = [5, 6]',
            Topology(switch=Switch(ports=(Port(to="lower", vlans=(5, 6)),))),
            id="port without a switch table",
        ),
        pytest.param(
            '[[lower]]\nkind = "dummy"',
            Topology(lowers=[Lower(kind=LowerKind.DUMMY)]),
            id="lower in place of the default",
        ),
        pytest.param(
            'guest = [{ name = "a" }, { name = "b", mode = "bridge" }]',
            Topology([Guest("a"), Guest("b", Mode.BRIDGE)]),
            id="inline tables",
        ),
    ],
)
def test_read(text, topology):
    assert parse_topology(text) == topology


GUEST = '[[guest]]\nname = "a"\n'


def bad(id, text, line, field, problem, allowed):
    return pytest.param(text, line, field, problem, allowed, id=id)


BAD = [
    bad("no TOML", "[[guest]]\nname =\n", 2, "syntax", "Invalid value", "TOML"),
    bad("ends too early", '\n\nname = """', 3, "syntax", "Unterminated string", "TOML"),
    bad("key twice", f'{GUEST}name = "b"\n', 3, "syntax", "Cannot overwrite", "TOML"),
    bad("no such table", f"{GUEST}\n[bridge]\n", 4, "bridge", "no such table", "guest, lower, ext"),
    bad(
        "no such key", f"{GUEST}mod = 1", 3, "guest[1].mod", "no such key", "name, mode, lower, mac"
    ),
    bad(
        "no such key",
        "[switch]\nx = 1",
        2,
        "switch.x",
        "no such key",
        "name, hairpin, vlan_filtering",
    ),
    bad(
        "ports as a key",
        "[switch]\nports = []",
        2,
        "switch.ports",
        "no such key",
        "[[switch.port]] tables",
    ),
    bad("no name", '[[guest]]\nmode = "vepa"', 1, "guest[1]", "has no name", "name = …"),
    bad("no to", "[switch]\n[[switch.port]]\n", 2, "switch.port[1]", "has no to", "to = …"),
    bad(
        "mode",
        f'{GUEST}[[guest]]\nname = "b"\n\nmode = "routed"',
        6,
        "guest[2].mode",
        "'routed' is none",
        "vepa, bridge, private, passthru, source, passthrough",
    ),
    bad("mode is no word", f"{GUEST}mode = 5", 3, "guest[1].mode", "5 is none", "vepa, bridge"),
    bad("mode is a list", f"{GUEST}mode = []", 3, "guest[1].mode", "[] is none", "vepa, bridge"),
    bad("kind", '[[lower]]\nkind = "x"', 2, "lower[1].kind", "'x' is none", "veth, dummy, vlan"),
    bad("string", "[[guest]]\nname = 5", 2, "guest[1].name", "5 is none", "a string"),
    bad("flag", f"{GUEST}up = 1", 3, "guest[1].up", "1 is none", "true or false"),
    bad("flag", f'{GUEST}up = "no"', 3, "guest[1].up", "'no' is none", "true or false"),
    bad(
        "optional flag",
        '[[switch.port]]\nto = "lower"\nhairpin = 0',
        3,
        "switch.port[1].hairpin",
        "0 is none",
        "true or false",
    ),
    bad("number", "[[lower]]\nmtu = true", 2, "lower[1].mtu", "True is none", "a whole number"),
    bad("number", "[[lower]]\nmtu = 1.5", 2, "lower[1].mtu", "1.5 is none", "a whole number"),
    bad(
        "optional number",
        f'{GUEST}bc_cutoff = "1"',
        3,
        "guest[1].bc_cutoff",
        "'1' is none",
        "a whole number",
    ),
    bad("list", f'{GUEST}groups = "x"', 3, "guest[1].groups", "'x' is none", "a list of strings"),
    bad("list", f"{GUEST}groups = [1]", 3, "guest[1].groups", "[1] is none", "a list of strings"),
    bad(
        "list of numbers",
        '[[switch.port]]\nto = "lower"\nvlans = ["5"]',
        3,
        "switch.port[1].vlans",
        "['5'] is none",
        "a list of whole numbers",
    ),
    bad(
        "list of numbers, not flags",
        '[[switch.port]]\nto = "lower"\nvlans = [true]',
        3,
        "switch.port[1].vlans",
        "[True] is none",
        "a list of whole numbers",
    ),
    bad("table", "switch = 5", 1, "switch", "is no table", "[switch]"),
    bad("table", "router = true", 1, "router", "is no table", "[router]"),
    bad("list of tables", '[guest]\nname = "a"', 1, "guest", "is no list of tables", "[[guest]]"),
    bad("list of tables", "guest = [5]", 1, "guest[1]", "is no table", "[guest[1]]"),
    # what only the whole can know
    bad(
        "name taken, comments and blanks before",
        f'# two\n{GUEST}\n[[ guest ]] # again\nmode = "vepa"\nname = "a"\n',
        7,
        "guest[2].name",
        "'a' is taken by guest[1]",
        "a name of its own",
    ),
    bad(
        "key not written: its table's header",
        f'{GUEST}mode = "passthru"\n\n[[guest]]\nname = "b"\nmode = "passthru"\nlower = "x"\n',
        8,
        "guest[2].lower",
        "no lower device 'x'",
        "lower",
    ),
    bad(
        "in the right table of many",
        f'{GUEST}\n[[lower]]\nname = "lower"\n\n[[lower]]\nname = "b"\nmtu = 9\n[router]\n',
        9,
        "lower[2].mtu",
        "9 is out of range",
        "68 to 65535",
    ),
    bad(
        "default address: its table's header",
        '[[external]]\nname = "e"\nmac = "02:68:70:04:00:01"\n\n[router]\nname = "r"\n',
        5,
        "router.mac",
        "02:68:70:04:00:01 belongs to e",
        "an address of its own",
    ),
    bad(
        "port",
        '[switch]\n\n[[switch.port]]\nto = "lower"\n\n[[switch.port]]\nto = "nobody"',
        7,
        "switch.port[2].to",
        "'nobody' has no port",
        "lower, external",
    ),
    bad(
        "key among others",
        '[[lower]]\nname = "x"\nmtu = 1500\nvlan = 5\n',
        4,
        "lower[1].vlan",
        "a veth has no vlan",
        "kind = 'vlan'",
    ),
]


@pytest.mark.parametrize(("text", "line", "field", "problem", "allowed"), BAD)
def test_bad_text(text, line, field, problem, allowed):
    """The error names the file, the line, the field, what is wrong and what is allowed."""
    with pytest.raises(TopologyError) as caught:
        parse_topology(text, file="net.toml")
    error = caught.value
    assert (error.file, error.line, error.field) == ("net.toml", line, field)
    assert problem in error.problem
    assert error.allowed.startswith(allowed)


def test_error_as_text():
    with pytest.raises(TopologyError) as caught:
        parse_topology("[[lower]]\nmtu = 1", file="net.toml")
    assert str(caught.value) == (
        "net.toml:2: lower[1].mtu: 1 is out of range; allowed: 68 to 65535"
    )


def test_bad_file(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text("[[lower]]\nmtu = 1", encoding="utf-8")
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert (caught.value.file, caught.value.line) == (str(path), 2)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), "utf-8", id="no text"),
    ],
)
def test_unreadable_file(tmp_path, make, reason):
    path = tmp_path / "net.toml"
    make(path)
    with pytest.raises(TopologyError, match=reason) as caught:
        load_topology(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), 1, "file")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("\n\nfoo = 1\n", 3, id="unknown table"),
        pytest.param("\n\nexternal = 3\n", 3, id="no list"),
        pytest.param("[switch]\n[switch.port]\nto='lower'\n", 2, id="a table for a list"),
        pytest.param("a=" + "[" * 100_000, 1, id="nested too deeply"),
    ],
)
def test_line_of_what_is_no_table(text, line):
    """The line that names it, whichever way it is written."""
    with pytest.raises(TopologyError) as caught:
        parse_topology(text)
    assert caught.value.line == line
