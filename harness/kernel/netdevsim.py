"""A netdevsim: a network interface that the kernel makes up, with a driver and a bus.

What it sends is counted and gone (nsim_start_xmit, drivers/net/netdevsim/netdev.c). It has a name
on a bus and outlives who made it: for machines that are thrown away.
"""

from __future__ import annotations

import errno
from pathlib import Path

from harness.errors import KernelError, UnfitError
from harness.kernel.links import move_link, set_attributes
from harness.kernel.netns import NetNS
from harness.kernel.processes import run_here
from harness.resource import Resource

__all__ = ["NetdevSim"]

_BUS = Path("/sys/bus/netdevsim")
_LOADING = 60.0  # seconds
_ETHERNET = 1  # ARPHRD_ETHER


class NetdevSim(Resource):
    """A netdevsim, whose link is in `ns`, called `name` and down. Use it in a `with` statement.

    Raises UnfitError where the kernel has none, KernelError.
    """

    def __init__(self, ns: NetNS, name: str, *, number: int = 1) -> None:
        self._number = number
        self._there = False
        run_here(["modprobe", "-q", "netdevsim"], timeout=_LOADING)
        if not (_BUS / "new_device").exists():  # since Linux 5.2
            raise UnfitError(
                "this kernel has no netdevsim", remedy="take one with CONFIG_NETDEVSIM"
            )
        try:
            ns.run(lambda: (_BUS / "new_device").write_text(f"{number} 1"))
        except OSError as error:
            raise KernelError("make a netdevsim", error.errno or 0) from error
        self._there = True
        try:
            self.index = self._fetched(ns)
            renamed = set_attributes(name, index=self.index, attributes=(("IFLA_IFNAME", name),))
            ns.rtnl.transact([renamed])
        except BaseException:
            self.close()
            raise

    def _fetched(self, ns: NetNS) -> int:
        """Its index in `ns`: made there, or, before Linux 5.5, in the first namespace."""
        # /sys is that one's, and shows no link of another.
        for port in (_BUS / f"devices/netdevsim{self._number}/net").glob("*"):
            with NetNS.current() as here:
                index = here.rtnl.link(port.name)["index"]
                here.rtnl.transact([move_link(port.name, index=index, to=ns.fd)])
        for link in ns.rtnl.links():
            if link["ifi_type"] == _ETHERNET:
                return int(link["index"])
        raise KernelError("find a netdevsim's link", errno.ENODEV)

    def close(self) -> None:
        """Take the device off its bus, whatever is on its link; idempotent. Raises OSError."""
        if self._there:
            self._there = False
            (_BUS / "del_device").write_text(str(self._number))
