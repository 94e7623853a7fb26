"""Knowing when a namespace has gone: the kernel removes one in the background (cleanup_net)."""

from __future__ import annotations

import errno

from harness.errors import KernelError
from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.waiting import look_until
from harness.resource import Resource

__all__ = ["Canary"]

_HERE, _THERE = 2, 1 << 20  # indexes
_GONE_WITHIN = 60.0  # seconds


class Canary(Resource):
    """A veth with one end in the watched namespace and the other in one of its own.

    A dying namespace takes all of its links in one go (default_device_exit_batch), and with its
    end of the veth goes ours. Use it in a `with` statement. Raises KernelError.
    """

    def __init__(self, watched: NetNS) -> None:
        self._ns = NetNS.create()
        try:
            self._ns.rtnl.transact(
                [
                    links.add_veth(
                        "canary",
                        index=_HERE,
                        peer="canary",
                        peer_index=_THERE,
                        peer_ns=watched.fd,
                    )
                ]
            )
        except BaseException:
            self.close()
            raise

    def gone(self) -> bool:
        """Whether the links of the watched namespace have been removed."""
        try:
            self._ns.rtnl.link("canary")
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise
            return True
        return False

    def wait(self) -> None:
        """Return once it has gone. Raises KernelError when that takes a minute."""
        if not look_until(self.gone, bool, within=_GONE_WITHIN):
            raise KernelError("remove a network namespace", errno.ETIMEDOUT)

    def close(self) -> None:
        """See Resource."""
        self._ns.close()
