"""`hairpin vsi`: the EVB bridge on links of this machine, and what passes a link.

station -- its wire -- [--link veth0] -.
station -- [--tap tap0] ---------------+-- switch -- [--uplink eth1]
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UnfitError, UsageError

if TYPE_CHECKING:  # what a command needs is loaded when it runs
    from rich.console import Console

    from harness.kernel.netns import NetNS
    from harness.kernel.recording import Heard
    from harness.report.vsi import SwitchState
    from harness.vsi.live import EvbSwitch, Port
    from harness.vsi.live.capture import CaptureFile

__all__ = ["add_vsi", "run_vsi"]

_OK = 0
_EVERY = 0.25  # seconds between two looks of the live view


def add_vsi(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and what it can do, for the command line."""
    vsi = commands.add_parser(
        "vsi",
        help="802.1Qbg: a switch that associates virtual station interfaces, and what it hears",
        description="IEEE 802.1Qbg on links of this machine.",
    )
    actions = vsi.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_switch(actions)
    _add_watch(actions)
    _add_test(actions)


def run_vsi(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    """Do what `arguments.action` says; hairpin's exit status. `rest` goes to pytest.

    Raises UnfitError when this machine cannot, UsageError for words that make no sense,
    KernelError when a link goes meanwhile.
    """
    if arguments.action == "test":
        return _test(arguments.output, rest)
    return _ACTIONS[arguments.action](arguments)


# ---------------------------------------------------------------------- hairpin vsi switch


def _add_switch(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    switch = actions.add_parser(
        "switch",
        help="be the EVB bridge at the other end of a link",
        description="Be the EVB bridge: answer LLDP, ECP and VDP, and forward the frames of "
        "associated VSIs, until Ctrl-C.",
        epilog="A lower device for libvirt and lldpad: hairpin vsi switch --tap lower "
        "--types types.toml; then <source dev='lower' mode='vepa'/>.",
    )
    switch.add_argument(
        "--tap",
        action="append",
        default=[],
        metavar="NAME",
        help="make a TAP device: a lower device whose wire is the switch; may be repeated",
    )
    switch.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="IF",
        help="the switch's end of a wire: a veth, a NIC; may be repeated",
    )
    switch.add_argument("--uplink", metavar="IF", help="a trunk to the rest of the network")
    switch.add_argument(
        "--types", type=Path, metavar="TOML", help="types of VSI (default: any, in VLAN 0)"
    )
    switch.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[,KEY=VALUE...]",
        help="do this wrong, as: refuse,code=2,times=1; may be repeated (a wrong one prints all)",
    )
    _add_pcapng(switch)


def _add_pcapng(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pcapng", type=Path, metavar="FILE", help="keep frames for Wireshark")


def _switch(arguments: argparse.Namespace) -> int:
    from harness.kernel.netns import NetNS
    from harness.report.terminal import make_console
    from harness.vsi.faults import Faults, parse_fault
    from harness.vsi.live import EvbSwitch
    from harness.vsi.live.capture import CaptureFile
    from harness.vsi.types import load_types

    names = [*arguments.tap, *arguments.link, *([arguments.uplink] if arguments.uplink else [])]
    if not (arguments.tap or arguments.link):
        raise UsageError("a switch has ports: --tap NAME makes one, --link IF takes a link")
    if len(set(names)) < len(names):
        raise UsageError(f"a link is one port only: {', '.join(names)}")
    types = load_types(arguments.types) if arguments.types else None
    faults = [parse_fault(word) for word in arguments.fault]
    _need_root()
    console = make_console()
    with ExitStack() as stack:
        ns = stack.enter_context(NetNS.current())
        for link in (*arguments.link, *([arguments.uplink] if arguments.uplink else [])):
            _ready(ns, link)
        capture = None
        if arguments.pcapng:
            capture = stack.enter_context(CaptureFile(arguments.pcapng, names))
        _announce(arguments, console)
        ports, uplink = _ports(ns, arguments, stack)
        _bring_up(ns, arguments.tap)
        switch = stack.enter_context(
            EvbSwitch(
                ports,
                uplink=uplink,
                types=types,
                faults={port.name: Faults(faults) for port in ports},
                tell=capture.add if capture else None,
            )
        )
        _serve(switch, console, capture)
    return _OK


def _ports(
    ns: NetNS, arguments: argparse.Namespace, stack: ExitStack
) -> tuple[list[Port], Port | None]:
    from harness.vsi.live import PacketPort, TapPort

    ports: list[Port] = [stack.enter_context(TapPort.open(ns, name)) for name in arguments.tap]
    ports += [stack.enter_context(PacketPort.open(ns, name)) for name in arguments.link]
    if arguments.uplink is None:
        return ports, None
    return ports, stack.enter_context(PacketPort.open(ns, arguments.uplink))


def _announce(arguments: argparse.Namespace, console: Console) -> None:
    """Say what is about to be done to this machine."""
    does = [f"makes the TAP device {name}, until it ends" for name in arguments.tap]
    does += [f"is the switch at {name}, which is made promiscuous" for name in arguments.link]
    if arguments.uplink:
        does.append(f"forwards to {arguments.uplink} as a trunk")
    console.print(f"hairpin {'; '.join(does)}. Nothing else changes.", soft_wrap=True)
    if not arguments.types:
        console.print("Without --types, every type of VSI is granted.", soft_wrap=True)


def _bring_up(ns: NetNS, taps: Sequence[str]) -> None:
    from harness.kernel.links import set_link

    indexes = {name: ns.rtnl.link(name)["index"] for name in taps}
    ns.rtnl.transact([set_link(name, index=index, up=True) for name, index in indexes.items()])


def _serve(switch: EvbSwitch, console: Console, capture: CaptureFile | None) -> None:
    """Show what the switch does, until Ctrl-C; then what there is."""
    from harness.report.vsi import print_state

    with suppress(KeyboardInterrupt):
        (_show_live if console.is_terminal else _show_lines)(switch, console, capture)
    print_state(console, _state(switch))
    if capture:
        console.print(f"Frames: {capture.path}", soft_wrap=True)


def _show_live(switch: EvbSwitch, console: Console, capture: CaptureFile | None) -> None:
    from harness.report.vsi import SwitchView, event_line

    mark, due = 0, 0.0
    with SwitchView(console) as view:
        while True:
            # No more often than that, however much happens; and timers count down meanwhile.
            time.sleep(max(due - time.monotonic(), 0.0))
            due = time.monotonic() + _EVERY
            events, mark = switch.news(mark, within=_EVERY)
            lines = [event_line(port, event, started=switch.started) for port, event in events]
            view.show(_state(switch), lines)
            if capture:
                capture.flush()


def _show_lines(switch: EvbSwitch, console: Console, capture: CaptureFile | None) -> None:
    from harness.report.vsi import Line, event_line, print_line

    mark = 0
    known: set[tuple[str, str]] = set()
    while True:
        events, mark = switch.news(mark, within=4 * _EVERY)
        for port, event in events:
            print_line(console, event_line(port, event, started=switch.started))
        for port, outgoing, fate in switch.counts:
            if fate.startswith("dropped") and (port, fate) not in known:
                known.add((port, fate))
                way = "out" if outgoing else "in"
                text = f"a frame of {_source(switch, port, fate)} {fate}; others are counted"
                print_line(console, Line(time.time(), port, way, text, "yellow"))
        console.file.flush()
        if capture:
            capture.flush()


def _source(switch: EvbSwitch, port: str, fate: str) -> str:
    """Whose frame it was that met this fate at a port last."""
    return next(
        (
            x.octets[6:12].hex(":")
            for x in reversed(switch.trace)
            if (x.port, x.fate) == (port, fate)
        ),
        "somebody",
    )


def _state(switch: EvbSwitch) -> SwitchState:
    from harness.report.vsi import SwitchState

    return SwitchState(
        seconds=time.time() - switch.started,
        vsis={port: switch.vsis(port) for port in switch.ports},
        relaying={port: switch.relaying(port) for port in switch.ports},
        counts=switch.counts,
    )


# ---------------------------------------------------------------------- hairpin vsi watch


def _add_watch(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    watch = actions.add_parser(
        "watch",
        help="decode the LLDP, ECP and VDP frames of a link, both ways",
        description="Print each LLDP, ECP and VDP frame that a link sends or receives, a line "
        "each, until Ctrl-C.",
    )
    watch.add_argument("link", metavar="IF", help="a link of this machine")
    watch.add_argument("-v", "--verbose", action="store_true", help="every field, too")
    _add_pcapng(watch)


def _watch(arguments: argparse.Namespace) -> int:
    from harness.kernel.netns import NetNS
    from harness.kernel.recording import Recording
    from harness.report.terminal import make_console
    from harness.vsi.live.capture import CaptureFile
    from harness.vsi.numbers import ETHERTYPES

    _need_root()
    console = make_console()
    link, seen = arguments.link, 0
    with ExitStack() as stack:
        ns = stack.enter_context(NetNS.current())
        _ready(ns, link, alone=False)
        capture = None
        if arguments.pcapng:
            capture = stack.enter_context(CaptureFile(arguments.pcapng, [link], started=0.0))
        recording = stack.enter_context(Recording(ns, link=link, ethertypes=ETHERTYPES))
        print(
            f"LLDP, ECP and VDP at {link}, which is made promiscuous. Ctrl-C ends it.", flush=True
        )
        try:
            while True:
                select.select([recording], [], [])
                for heard in recording.read():
                    seen += _tell(heard, link, console, verbose=arguments.verbose, capture=capture)
                sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        lost = f", {recording.lost:,} lost" if recording.lost else ""
        print(f"{seen:,} frames{lost}" + (f": {arguments.pcapng}" if capture else ""))
    return _OK


def _tell(
    heard: Heard, link: str, console: Console, *, verbose: bool, capture: CaptureFile | None
) -> bool:
    """Print a frame; whether it was one of ours."""
    from harness.report.vsi import Line, print_line
    from harness.vsi.frames import read
    from harness.vsi.live import Passed
    from harness.vsi.words import frame_words

    found = read(heard.frame)
    if found is None:
        return False
    if capture:  # first: whoever sees the line may press Ctrl-C
        capture.add(Passed(heard.at / 1e9, link, heard.outgoing, heard.frame, "control"))
        capture.flush()
    way = "out" if heard.outgoing else "in"
    print_line(console, Line(heard.at / 1e9, link, way, frame_words(found)))
    if verbose:
        from scapy.layers.l2 import Ether

        import harness.vsi.layers  # noqa: F401  (scapy knows them from then on)

        print(Ether(heard.frame).show(dump=True))
    return True


# ---------------------------------------------------------------------- hairpin vsi test


def _add_test(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    test = actions.add_parser(
        "test",
        help="libvirt's guests and lldpad at our switch, and whatever can go wrong",
        description="Start guests with 802.1Qbg interfaces under a private libvirtd and lldpad, in "
        "both dialects, at a switch that does it right and one that does not; print the exchange.",
        epilog="All further arguments go to pytest.",
    )
    test.add_argument("--output", type=Path, default=Path(".hairpin"), metavar="DIR")


def _test(output: Path, rest: Sequence[str]) -> int:
    from harness.guests.fitness import GUEST_PROGRAMS, need_everything

    need_everything((*GUEST_PROGRAMS, "lldpad"))
    from harness.guests.tiny.image import image
    from harness.suite import Part, run_suite

    image()  # before pytest: it may take a while
    return run_suite(rest, backend="tap", output=output, part=Part.VSI)


# ---------------------------------------------------------------------- both


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UnfitError("packet sockets and TAP devices take root", remedy="run it with sudo")


def _ready(ns: NetNS, link: str, *, alone: bool = True) -> None:
    """Make sure that there is such a link, up; `alone`: and that nobody else forwards its frames.

    Raises UnfitError otherwise.
    """
    from harness.kernel.linkstate import link_state

    names = [found.get_attr("IFLA_IFNAME") for found in ns.rtnl.links()]
    if link not in names:
        others = ", ".join(sorted(set(names) - {"lo"})) or "none"
        raise UnfitError(f"there is no link {link} here", remedy=f"there are: {others}")
    state = link_state(ns, link)
    if not state.up:
        raise UnfitError(f"{link} is down", remedy=f"ip link set {link} up")
    if alone and state.master:
        raise UnfitError(
            f"{link} is a port of another bridge, which forwards its frames as well",
            remedy=f"ip link set {link} nomaster",
        )


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "switch": _switch,
    "watch": _watch,
}
