"""Faults in the whole run: exit 1, and the cause on the terminal and in results.json.

The faults themselves are in `test_faults*.py`, the model's rules turned round in
`test_differences.py`; here some of them are put into every testbed of a `hairpin run`.
"""

import json

import pytest

from harness.kernel.features import Backend, probe
from harness.kernel.privileges import ensure_namespaces

PUTTING_IN = """
import subprocess
from harness.kernel.taps import Tap
from harness.testbed import Testbed

for method in (Testbed._barrier, Testbed._fire):
    method.__kwdefaults__["patience"] = 0.3  # what is lost here is lost on purpose
original = Testbed.verdict
COMMANDS = {commands!r}

def put_in(bed):
    rooms = {{"host": bed.wiring.host, "switch": bed.wiring.switch, **bed.wiring.outside}}
    for room, *command in COMMANDS:
        rooms[room].run(lambda: subprocess.run(command, check=True))
    {more}

def verdict(self, stimulus):
    if not hasattr(self, "faulty"):
        self.faulty = []
        put_in(self)
    return original(self, stimulus)

Testbed.verdict = verdict
"""

ALL = ("protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress")
TBF = ["tbf", "rate", "8kbit", "burst", "60", "limit", "3000"]
NFT = ("nft", "add")
CHAIN = "{ type filter hook forward priority 0; }"


@pytest.mark.parametrize(
    ("subject", "commands", "more", "says"),
    [
        pytest.param(
            "test_outside",
            [
                ("switch", *NFT, "table", "bridge", "t"),
                ("switch", *NFT, "chain", "bridge", "t", "c", CHAIN),
                ("switch", *NFT, "rule", "bridge", "t", "c", "@ll,144,8", "1", "counter", "drop"),
            ],
            "",
            "an nft rule in chain bridge t c at forward of the switch drops; it has met 1 frame",
            id="nft drops stimuli in the switch",
        ),
        pytest.param(
            "test_outside",
            [
                ("switch", "tc", "qdisc", "add", "dev", "lower", "clsact"),
                (
                    "switch",
                    "tc",
                    "filter",
                    "add",
                    "dev",
                    "lower",
                    "ingress",
                    *ALL,
                    "mirror",
                    "dev",
                    "external",
                ),
            ],
            "",
            "a tc filter (u32) on ingress of switch port lower duplicates to external",
            id="tc duplicates",
        ),
        pytest.param(
            "test_outside",
            [("host", "tc", "qdisc", "add", "dev", "a", "root", *TBF)],
            "",
            "a tbf qdisc sits on a and delays what exceeds a rate",
            id="tbf delays",
        ),
        pytest.param(
            "test_guest_to_guest",
            [("host", "ip", "link", "set", "dev", "b", "address", "02:68:70:01:00:99")],
            "",
            "b has the address 02:68:70:01:00:99, the topology says 02:68:70:01:00:02",
            id="wrong MAC",
        ),
        pytest.param(
            "test_routed and bridge-bridge and a",
            [],
            "bed.faulty += [Tap.open(bed.wiring.host, 'b') for _ in range(20)]",
            "a foreign tap: this very process",
            id="foreign tap",
        ),
    ],
)
def test_run(hairpin, tools, tmp_path, subject, commands, more, says):
    """The run fails and names what was put in."""
    tools(*(command for _, command, *_ in commands))
    ensure_namespaces()
    if "tap" in says and probe().backend is not Backend.TAP:
        pytest.skip("no taps here")
    result = hairpin("run", "-k", subject, plugin=PUTTING_IN.format(commands=commands, more=more))
    assert result.returncode == 1, result.stdout + result.stderr
    records = json.loads((tmp_path / ".hairpin/last/results.json").read_text())["records"]
    differing = [r for r in records if r["outcome"] == "differs"]
    assert differing
    assert any(says in cause for r in differing for cause in r["causes"][:2]), differing[0][
        "causes"
    ]
    printed = " ".join(result.stdout.split())
    assert says in printed, result.stdout[-4000:]
