"""Machines that cannot do it: exit 3, one sentence with the cause and the remedy."""

import pytest

LACKING = """
import harness.plugin
from harness.kernel.features import Features, Backend

def probe():
    lacking = {{"{feature}": "Unknown device type"}}
    return Features("9.9.9", "x86_64", Backend.TAP, "", lacking, behaviours=frozenset())

harness.plugin.probe = probe
"""


def test_user_namespaces_forbidden(hairpin):
    """Without root and without user namespaces there is no way in."""
    # Without CAP_SETFCAP a process of user 0 may not map itself: the kernel's own refusal.
    wrapper = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    result = hairpin("run", wrapper=wrapper)
    assert result.returncode == 3
    assert len(result.stderr.strip().splitlines()) == 1
    assert "user namespace" in result.stderr
    assert "sudo" in result.stderr


@pytest.mark.parametrize("feature", ["macvtap", "veth", "bridge"])
def test_kernel_lacks_a_part(hairpin, feature):
    """The sentence names the part and the option or module to look for."""
    result = hairpin("run", plugin=LACKING.format(feature=feature))
    assert result.returncode == 3, result.stdout + result.stderr
    said = result.stdout + result.stderr
    assert f"has no {feature}" in said
    assert f"modprobe {feature}" in said
    assert "Traceback" not in said
