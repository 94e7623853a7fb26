"""A screen that nobody looks at, and what belongs to one: window manager, session bus.

Toolbox ── Xvfb ◄── openbox
      '─── dbus-daemon ◄── AT-SPI (started by the bus when it is first asked for)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from harness.errors import UnfitError
from harness.guests.tools.toolbox import Toolbox
from harness.kernel.processes import Process, find_program
from harness.resource import Resource

__all__ = ["Screen"]

_BUS = "unix:path=/run/user/bus"
_ACCESSIBILITY = Path("/usr/share/dbus-1/services/org.a11y.Bus.service")
_PROGRAMS = ("Xvfb", "openbox", "dbus-daemon", "import")

# Main windows as large as the screen, so that a picture shows all of them.
_OPENBOX = """\
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <applications>
    <application type="normal"><maximized>yes</maximized></application>
  </applications>
</openbox_config>
"""


class Screen(Resource):
    """An X server with a window manager and a session bus. Use it in a `with` statement.

    `size` is in pixels. Raises UnfitError where one of the programs is missing, CommandError when
    one does not come up.
    """

    def __init__(self, toolbox: Toolbox, *, size: tuple[int, int] = (900, 700)) -> None:
        for program in _PROGRAMS:
            find_program(program)
        if not _ACCESSIBILITY.exists():
            raise UnfitError(
                "there is no accessibility bus here (org.a11y.Bus)",
                remedy="apt install at-spi2-core",
            )
        self.toolbox = toolbox
        self._undo = ExitStack()
        try:
            self.display = ":" + self._start(
                ["Xvfb", "-displayfd", "{}", "-screen", "0", "{}x{}x24".format(*size)]
            )
            # A known address, for those that are started after it.
            address = f"--address={_BUS}"
            self._start(["dbus-daemon", "--session", "--nofork", address, "--print-address={}"])
            rules = toolbox.write("openbox.xml", _OPENBOX)
            self.spawn(["openbox", "--config-file", rules])
        except BaseException:
            self.close()
            raise

    def _start(self, arguments: Sequence[str]) -> str:
        """Start what writes a line to the descriptor `{}` when it is ready; the line."""
        reader, writer = os.pipe()
        heard = b""
        os.set_blocking(reader, False)

        def ready() -> bool:
            nonlocal heard
            try:
                heard += os.read(reader, 4096)
            except BlockingIOError:
                return False
            return heard.endswith(b"\n")

        try:
            command = [x.replace("{}", str(writer)) for x in arguments]
            self.spawn(command, descriptors=(writer,)).wait_until(ready)
        finally:
            os.close(reader)
            os.close(writer)
        return heard.decode().strip()

    def spawn(self, arguments: Sequence[str], *, descriptors: Sequence[int] = ()) -> Process:
        """Start a program that shows its windows here; it ends with us. Raises UnfitError."""
        environment = {"DBUS_SESSION_BUS_ADDRESS": _BUS, "GSETTINGS_BACKEND": "keyfile"}
        if hasattr(self, "display"):
            environment["DISPLAY"] = self.display
        process = self.toolbox.spawn(arguments, descriptors=descriptors, environment=environment)
        return self._undo.enter_context(process)

    def picture(self) -> bytes:
        """What is on the screen, as PNG in few colours. Raises CommandError."""
        inside = f"/run/files/{uuid4()}.png"
        fewer = ["+dither", "-colors", "48", "-strip"]
        self.spawn(["import", "-window", "root", *fewer, f"png8:{inside}"]).wait(20.0).checked()
        picture = self.toolbox.path(inside)
        data = picture.read_bytes()
        picture.unlink()
        return data

    def close(self) -> None:
        """End all that was started here, the X server last; idempotent."""
        self._undo.close()
