"""Virtual functions: what sysfs says of a PCI device, and what a PF is asked."""

import pytest

from harness.errors import UsageError
from harness.kernel import sriov
from harness.kernel.netlink import LinkMessage
from harness.kernel.sriov import PciDevice, find_pci_device, set_vf
from harness.sriov.bed import _tagged, _tags

PF, FIRST, SECOND = "0000:01:00.0", "0000:01:10.0", "0000:01:10.2"


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A PF with two virtual functions, one of which has a driver and a link."""
    for name, files in {
        PF: {
            "sriov_totalvfs": "7\n",
            "sriov_numvfs": "2\n",
            "subsystem_vendor": "0x1af4\n",
            "subsystem_device": "0x1100\n",
            "net/eth1/x": "",
        },
        FIRST: {"net/eth2/x": "", "subsystem_vendor": "0x8086\n", "subsystem_device": "0xa03c\n"},
        SECOND: {"virtio3/net/eth3/x": ""},
    }.items():
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for number, name in enumerate((FIRST, SECOND)):
        (tmp_path / PF / f"virtfn{number}").symlink_to(tmp_path / name)
    (tmp_path / "drivers/igbvf").mkdir(parents=True)
    (tmp_path / FIRST / "driver").symlink_to(tmp_path / "drivers/igbvf")
    monkeypatch.setattr(sriov, "_DEVICES", tmp_path)
    return tmp_path


def test_device(sysfs):
    pf = find_pci_device(PF)
    first, second = pf.functions
    assert (pf.most_functions, pf.emulated, pf.driver, pf.link()) == (7, True, "", "eth1")
    assert (first.address, first.driver, first.link()) == (FIRST, "igbvf", "eth2")
    assert (second.address, second.most_functions, second.link()) == (SECOND, 0, "eth3")
    assert not first.emulated


def test_number_of_functions(sysfs):
    PciDevice(PF).set_functions(0)
    assert PciDevice(PF).functions == ()


def test_no_device(sysfs):
    with pytest.raises(UsageError, match="lo is no link of this machine that is on a PCI bus"):
        find_pci_device("lo")


def test_what_the_pf_is_asked():
    """As the kernel reads it: IFLA_VFINFO_LIST, and in it one function with what it is given."""
    mac = "02:68:70:00:00:07"
    asked = set_vf("eth1", 1, index=5, mac=mac, vlan=100, qos=3, spoofchk=False, trust=True)
    message = LinkMessage(asked.data)
    message.decode()
    (info,) = message.get_attr("IFLA_VFINFO_LIST").get_attrs("IFLA_VF_INFO")
    given = {name: dict(info.get_attr(name)) for name, _ in info["attrs"]}
    assert message["index"] == 5
    assert given["IFLA_VF_MAC"] == {"vf": 1, "mac": mac}
    assert given["IFLA_VF_VLAN"] == {"vf": 1, "vlan": 100, "qos": 3}
    assert given["IFLA_VF_SPOOFCHK"] == {"vf": 1, "spoofchk": 0}
    assert given["IFLA_VF_TRUST"] == {"vf": 1, "trust": 1}
    assert asked.purpose == f"set VF 1 of eth1: mac {mac}, vlan 100 qos 3, spoofchk 0, trust 1"


def test_what_is_not_given_stays():
    message = LinkMessage(set_vf("eth1", 0, index=5, vlan=0).data)
    message.decode()
    (info,) = message.get_attr("IFLA_VFINFO_LIST").get_attrs("IFLA_VF_INFO")
    assert [name for name, _ in info["attrs"]] == ["IFLA_VF_VLAN"]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("", ""),
        ("81000064", " tagged 100"),
        ("81006064", " tagged 100 priority 3"),
        ("8100606481000007", " tagged 100 priority 3, 7"),
        ("88a800058100000a", " tagged 5, 10"),
    ],
)
def test_tags_in_words(tags, said):
    assert _tags(bytes(12) + bytes.fromhex(tags + "88b5") + bytes(46)) == said


def test_tagged():
    frame = bytes(range(60))
    assert _tagged(frame, 0) == frame
    assert _tagged(frame, 100) == frame[:12] + b"\x81\x00\x00\x64" + frame[12:]
