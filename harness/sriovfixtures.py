"""Fixtures for tests on virtual functions (marker `sriov`): a NIC that the user has named.

`nic` is that NIC, with two virtual functions and nothing on them. `expect` sends a frame there and
holds who has it against what the kernel's part of it has to be; what an emulated NIC adds is said
beside it, and told apart in the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from harness.errors import DifferenceError, UnfitError
from harness.parts import BROADCAST_MAC
from harness.plugin import case_of, failed_key, fit, section_of, told_key
from harness.report import CellOutcome, Record, make_console

if TYPE_CHECKING:
    from harness.sriov.bed import SriovBed
    from harness.sriov.emulated import Quirk

__all__ = ["expect", "nic"]

_bed = pytest.StashKey["SriovBed"]()
_seen = pytest.StashKey[set["Quirk"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hairpin")
    group.addoption(
        "--hairpin-pf", metavar="LINK", help="a NIC of which virtual functions may be made"
    )
    group.addoption("--hairpin-outside", metavar="LINK", help="a link that it is wired to")


def _new(config: pytest.Config) -> SriovBed:
    from harness.sriov.bed import SriovBed

    words = [config.getoption(f"hairpin_{x}") for x in ("pf", "outside")]
    if not all(words):
        pytest.skip(
            "no NIC with virtual functions is named: hairpin sriov PF OUTSIDE, or an emulated one: "
            "hairpin vm --sriov KERNEL"
        )
    fit(config)
    try:
        return SriovBed(*words)
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture
def nic(request: pytest.FixtureRequest) -> Iterator[SriovBed]:
    """The NIC, with two virtual functions as they are at first; shared with other tests.

    Skips where none was named.
    """
    stash = request.config.stash
    if _bed not in stash:
        stash[_bed] = _new(request.config)
    yield stash[_bed]
    if request.node.stash.get(failed_key, False):
        stash[_bed].close()
        del stash[_bed]
    else:
        stash[_bed].tidy()


@pytest.fixture
def expect(request: pytest.FixtureRequest, nic: SriovBed) -> Callable[..., None]:
    """A check: ``expect("p0", "outside", {"outside": 1}, when="VLAN 100")`` sends a frame.

    Who has it, and how often, has to be as given; nobody else. `quirks` are what an emulated NIC
    gives besides, by whose doing it is: on another NIC those observers are not asked. `named` is
    what the report calls an address. What is left goes to SriovBed.seen. Raises DifferenceError.
    """
    from harness.sriov.bed import GROUP_MAC, UNKNOWN_MAC

    words = {BROADCAST_MAC: "broadcast", GROUP_MAC: "group", UNKNOWN_MAC: "unknown"}
    told = request.node.stash.setdefault(told_key, [])
    seen_quirks = request.config.stash.setdefault(_seen, set())

    def check(
        sender: str,
        to: str,
        wanted: Mapping[str, int],
        *,
        when: str = "",
        named: str = "",
        quirks: Mapping[Quirk, Mapping[str, int]] | None = None,
        **how: object,
    ) -> None:
        found = Counter(nic.seen(sender, to, **how))  # type: ignore[arg-type]
        predicted = Counter(wanted)
        extra: Counter[str] = sum((Counter(x) for x in (quirks or {}).values()), Counter())
        if nic.device.emulated:
            predicted += extra
        asked = {*found, *predicted} - (set() if nic.device.emulated else set(extra))
        agrees = all(found[x] == predicted[x] for x in asked)
        reason = ""
        if nic.device.emulated and quirks:
            reason = "; ".join(f"the emulated NIC's doing: {x.emulated}" for x in quirks)
            if agrees:
                seen_quirks.update(quirks)
        row = f"{sender} → {named or words.get(to, to)}"
        if how.get("vid"):
            row += f" tagged {how['vid']}"
        told.append(
            Record(
                case=case_of(request.node),
                section=section_of(request.node),
                row=row,
                column=(when or "plain",),
                outcome=CellOutcome.AS_PREDICTED if agrees else CellOutcome.DIFFERS,
                focus=next(iter([*predicted, *found]), to),
                predicted=dict(predicted),
                seen=dict(found),
                reason=reason,
            )
        )
        if not agrees:
            raise DifferenceError(f"{row} {when}: expected {dict(predicted)}, seen {dict(found)}")

    return check


@pytest.hookimpl(tryfirst=True)  # before the summary
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _seen not in config.stash or not config.getoption("hairpin_matrix"):
        return
    from harness.sriov.emulated import Quirk

    seen = config.stash[_seen]
    if not seen:  # a NIC of its own
        return
    terminalreporter.ensure_newline()
    console = make_console()
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        console.print("\nThe emulated NIC's doing, and not the kernel's\n", style="bold")
        for quirk in Quirk:
            looked = "" if quirk in seen else " (not looked at here)"
            console.print(f"  {quirk.emulated}{looked}\n    {quirk.hardware}", highlight=False)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the NIC back."""
    if _bed in config.stash:
        config.stash[_bed].close()
