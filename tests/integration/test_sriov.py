"""`hairpin sriov` and `hairpin vm --sriov`: a few cases of the suite of virtual functions.

hairpin ── QEMU with igb [ kernel, this host's files, hairpin sriov ]
"""

import json
import os
import sys

import pytest

from harness.errors import UnfitError
from harness.machines.architecture import Architecture
from harness.machines.emulator import find_emulator
from harness.machines.hardware import SRIOV, SRIOV_OUTSIDE, SRIOV_PF
from harness.machines.qemu import find_virtiofsd

CASES = ("test_both_ways and nopromisc", "test_second_macvtap and bridge", "test_out")


@pytest.fixture
def fit(full_kernel):
    """Skips where no QEMU with such a NIC is to be had; the kernel that has its drivers."""
    try:
        find_emulator(Architecture.X86_64, SRIOV.model)
        if not find_virtiofsd():
            pytest.skip("there is no virtiofsd here")
    except UnfitError as error:
        pytest.skip(str(error))
    return full_kernel


def test_in_a_machine(hairpin, fit, tmp_path):
    """The functions are made there, frames pass, and what comes of it is here."""
    command = [sys.executable, "-P", "-m", "harness", "sriov", SRIOV_PF, SRIOV_OUTSIDE]
    chosen = " or ".join(f"({x})" for x in CASES)
    done = hairpin("vm", "--sriov", fit.name, "--", *command, "-k", chosen, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / ".hairpin/last/debian-bookworm/results.json").read_text())
    seen = [(x["row"], x["seen"]) for x in results["records"] if x["seen"]]
    assert ("outside → p0", {"p0": 1}) in seen
    assert ("p0 → outside tagged 7", {"outside tagged 100 priority 3, 7": 1}) in seen


def test_a_kernel_without_the_drivers(hairpin, kernel):
    """Is not booted: a sentence says what it lacks."""
    done = hairpin("vm", "--sriov", kernel.name, "--", "true")
    assert done.returncode == 3
    assert "has no igb and no igbvf" in done.stdout + done.stderr
    assert "take its full package" in done.stdout + done.stderr


def test_without_a_nic(hairpin):
    """The suite of this machine skips, and says what to name."""
    done = hairpin("run", "-m", "sriov", "-k", "test_not_joined", "-rs")
    assert "hairpin sriov PF OUTSIDE" in done.stdout, done.stdout + done.stderr
    assert "hairpin vm --sriov KERNEL" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="virtual functions take root")
def test_no_such_nic(hairpin):
    done = hairpin("sriov", "lo", "lo")
    assert done.returncode == 2
    assert "lo is no link of this machine that is on a PCI bus" in done.stderr
