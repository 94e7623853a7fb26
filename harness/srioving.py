"""`hairpin sriov`: the suite of virtual functions, on a NIC that is named."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

__all__ = ["add_sriov", "run_sriov"]


def add_sriov(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], reports: argparse.ArgumentParser
) -> None:
    """The command, for the command line, with the options of `reports`."""
    sriov = commands.add_parser(
        "sriov",
        parents=[reports],
        help="macvtap on virtual functions of a NIC (SR-IOV)",
        description="Make virtual functions of the NIC PF and try macvtap on them, taps and real "
        "guests; OUTSIDE is another link of this machine on the same wire or switch. Both have to "
        "be down, and PF without virtual functions: for the length of the run they are in "
        "namespaces of hairpin's own. Without such a NIC: hairpin vm --sriov KERNEL, which "
        "emulates one. Other arguments go to pytest: -k, -x.",
    )
    sriov.add_argument("pf", metavar="PF", help="a link, or its address on the PCI bus")
    sriov.add_argument("outside", metavar="OUTSIDE", help="the same")


def run_sriov(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run the tests marked `sriov`; hairpin's exit status.

    Raises UsageError for what is no device, UnfitError where these cannot be taken.
    """
    from harness.sriov.nic import ensure_free
    from harness.suite import run_suite

    ensure_free(arguments.pf, arguments.outside)
    return run_suite(
        [f"--hairpin-pf={arguments.pf}", f"--hairpin-outside={arguments.outside}", *rest],
        backend="tap",
        output=arguments.output,
        folder=arguments.folder,
        marked="sriov",
        dmesg=arguments.dmesg,
    )
