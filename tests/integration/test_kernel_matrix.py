"""`hairpin vm --matrix`: kernels side by side, and the others go on when one of them is not whole.

hairpin ─┬─ QEMU [ a kernel as it is    ] ── results ─┐
         ├─ QEMU [ one that is broken   ] ── results ─┼─ matrix.json
         ├─ QEMU [ one that panics      ] ────────────┤
         └─      [ one without 9p       ] ────────────┘
"""

import json
from collections import Counter

import pytest

from harness.suite import suite_folder

# One file, and nothing rewritten: a machine under TCG is slow.
RUN = f"hairpin run {suite_folder()}/test_broadcast.py -k bridge-bridge --assert=plain"
COMMAND = f"""
    case $HAIRPIN_FOLDER in *-2) echo c >/proc/sysrq-trigger;; esac
    exec {RUN} "$@"
"""

# In every namespace that hairpin makes there, the lower device loses broadcasts that come in:
# a BPF program on it (XDP) drops those that are stimuli, and lets all else pass.
BREAKING = """
import ctypes, os, struct
from harness.frames import Kind
from harness.testbed.wiring import Wiring

BPF_PROG_LOAD, BPF_LINK_CREATE, SYSCALL = 5, 28, {"x86_64": 321, "aarch64": 280}
BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_SKB_MODE = 6, 37, 2
CODE = [  # opcode, destination | source << 4, offset, immediate
    (0x61, 0x12, 0, 0), (0x61, 0x13, 4, 0),   # r2 = data, r3 = its end
    (0xBF, 0x24, 0, 0), (0x07, 0x04, 0, 19),  # r4 = r2 + 19
    (0x2D, 0x34, 6, 0),                       # shorter: pass
    (0x71, 0x25, 0, 0), (0x55, 0x05, 4, 0xFF),            # to no broadcast address: pass
    (0x71, 0x25, 18, 0), (0x55, 0x05, 2, Kind.STIMULUS),  # a sentinel: pass
    (0xB7, 0x00, 0, 1), (0x95, 0, 0, 0),      # XDP_DROP
    (0xB7, 0x00, 0, 2), (0x95, 0, 0, 0),      # XDP_PASS
]

def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    number = SYSCALL[os.uname().machine]
    fd = libc.syscall(number, command, ctypes.c_char_p(attributes), len(attributes))
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd

def load():
    code = b"".join(struct.pack("<BBhi", op, registers(r), at, n) for op, r, at, n in CODE)
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(instructions), ctypes.addressof(licence)
    told = struct.pack("=IIQQ", BPF_PROG_TYPE_XDP, len(CODE), *places)
    return bpf(BPF_PROG_LOAD, told.ljust(128, b"\\0"))

def registers(written):
    return (written & 0x0F) | (written & 0xF0)

original = Wiring.build

def build(self):
    original(self)
    told = struct.pack("=IIII", load(), self.index["lower"], BPF_XDP, XDP_FLAGS_SKB_MODE)
    self.host.run(lambda: bpf(BPF_LINK_CREATE, told.ljust(64, b"\\0")))

if "+cloud" not in os.environ["HAIRPIN_FOLDER"]:
    Wiring.build = build
"""


@pytest.fixture
def kernels(tmp_path, kernel):
    """A file of four: the kernel, twice more by other names, and without its modules."""
    package = kernel.image.parent.parent
    for name in ("broken", "panics"):
        (tmp_path / name).symlink_to(package)
    (tmp_path / "bare" / "lib" / "modules" / kernel.release).mkdir(parents=True)
    (tmp_path / "bare" / "boot").symlink_to(kernel.image.parent)
    file = tmp_path / "kernels.toml"
    names = [kernel.name, "./broken", "./panics", "./bare"]
    # The bound is for a machine that others use as well.
    rest = "memory = 512\njobs = 3\nboot_timeout = 300\ntimeout = 400\n"
    file.write_text(f"kernels = {json.dumps(names)}\n{rest}")
    return file


def test_one_column_is_broken(hairpin, kernel, kernels, tmp_path):
    """What differs stands in that kernel's column only; two that left nothing are columns, too."""
    words = ("vm", "--matrix", kernels.name, "--", "sh", "-c", COMMAND, "sh")
    done = hairpin(*words, plugin=BREAKING, timeout=900)
    assert done.returncode == 125, done.stdout + done.stderr
    matrix = json.loads((tmp_path / ".hairpin/last/matrix.json").read_text())
    runs = {run["name"]: run for run in matrix["runs"]}
    sound, broken, panicked, bare = (runs[x] for x in (kernel.name, "broken", "panics", "bare"))
    assert (sound["state"], sound["status"]) == ("finished", 0)
    assert (broken["state"], broken["status"]) == ("finished", 1)
    assert panicked["state"] == "died"
    assert "panicked: Kernel panic" in panicked["reason"]
    assert bare["state"] == "failed"
    assert "has no virtio_pci" in bare["reason"]
    at = {name: matrix["runs"].index(run) for name, run in runs.items()}
    seen = {
        name: Counter(
            case["values"][case["cells"][at[name]]]["outcome"]
            for case in matrix["cases"]
            if case["cells"][at[name]] is not None
        )
        for name in (sound["name"], broken["name"])
    }
    assert set(seen[sound["name"]]) == {"as predicted"}
    differing = [c for c in matrix["cases"] if c["kind"] == "differs"]
    assert len(differing) == seen[broken["name"]]["differs"] > 0
    assert all("differs" in case["course"] for case in differing)
    assert "XDP" in done.stdout
    a, b = (run["path"] for run in (sound, broken))
    compared = hairpin("compare", a, b)
    assert compared.returncode == 1
    assert "→ broadcast" in compared.stdout
