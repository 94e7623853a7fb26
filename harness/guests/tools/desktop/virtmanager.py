"""virt-manager's window of one guest: its NIC page, form and XML."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from harness.errors import CommandError
from harness.guests.tools.desktop.reader import Reader, Thing, Widget
from harness.guests.tools.desktop.screen import Screen
from harness.kernel.processes import find_program
from harness.resource import Resource

__all__ = ["Dialog", "NicPage", "VirtManager"]

_SETTINGS = "/run/home/.config/glib-2.0/settings"
_KEYFILE = "[org/virt-manager/virt-manager]\nxmleditor-enabled=true\n"
_SHOWN_LINES = 12
_STARTED_WITHIN = 40.0  # seconds; libvirt may ask QEMU about itself first

_PAGE: Thing = {"name": "network-tab"}
_SOURCE: Thing = {"name": "net-source", "role": "combo box"}
_DEVICE: Thing = {"role": "text", "label": "Device name:", "in": _PAGE}
_LINK: Thing = {"role": "check box", "in": _PAGE}
_EDITOR: Thing = {"role": "text", "name": "XML editor"}
_APPLY: Thing = {"role": "push button", "name": "config-apply"}
_CANCEL: Thing = {"role": "push button", "name": "config-cancel"}
_ALERT: Thing = {"role": "alert"}


@dataclass(frozen=True, kw_only=True)
class NicPage:
    """What the form shows: `labels` are all words on it, `sources` what Network source offers.

    `device` is the text of Device name, `link` whether the link state is active.
    """

    labels: tuple[str, ...]
    sources: tuple[str, ...]
    source: str
    device: str
    model: str
    mac: str
    link: bool


@dataclass(frozen=True)
class Dialog:
    """A message: its words, and the names of its buttons."""

    words: tuple[str, ...]
    buttons: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


class VirtManager(Resource):
    """virt-manager showing the details of the guest `name`. Use it in a `with` statement.

    It is connected to the toolbox's libvirtd, with its XML editor enabled. Methods wait for what
    they work on and raise CommandError when it does not show up. Raises UnfitError where a program
    is missing, CommandError when no window of that guest is there `within` seconds.
    """

    def __init__(self, screen: Screen, name: str, *, within: float = _STARTED_WITHIN) -> None:
        find_program("virt-manager")
        self.screen = screen
        self._undo = ExitStack()
        toolbox = screen.toolbox
        try:
            settings = toolbox.path(_SETTINGS)
            settings.mkdir(parents=True, exist_ok=True)
            (settings / "keyfile").write_text(_KEYFILE)
            self.reader = self._undo.enter_context(Reader(screen))
            connect = ["-c", toolbox.uri, "--show-domain-editor", name]
            self._process = screen.spawn(["virt-manager", *connect, "--no-fork", "--debug"])
            self._undo.callback(self._process.close)
            self._await_window(name, within)
        except BaseException:
            self.close()
            raise

    def _await_window(self, name: str, within: float) -> None:
        try:
            self.reader.wait({"role": "table", "name": "hw-list"}, within=within)
        except CommandError as error:
            problem = f"shows no window of the guest {name}: {error.problem}"
            said = "\n".join(self.log.splitlines()[-_SHOWN_LINES:])
            raise CommandError("virt-manager", problem, said) from error

    @property
    def log(self) -> str:
        """What it has said so far, for people."""
        return self._process.stderr

    # ------------------------------------------------------------------ the NIC page

    def open_nic(self, mac: str) -> None:
        """Select the NIC with this address in the list of hardware, and its form."""
        row = f"NIC :{mac[-8:]}"
        self.reader.select({"role": "table cell", "name": row})
        self._open("Details")
        self.reader.wait(_PAGE)

    def nic(self) -> NicPage:
        """What the form of the NIC shows."""
        widgets = self.reader.tree(_PAGE)
        return _page(widgets, self.reader.choices(_SOURCE))

    def set_device(self, name: str) -> None:
        """Write another Device name into the form."""
        self.reader.write(_DEVICE, name)

    def toggle_link(self) -> None:
        """Change the form's link state."""
        self.reader.press(_LINK)

    @property
    def words(self) -> tuple[str, ...]:
        """Words of all that is shown besides the list of hardware: menus and buttons as well."""
        widgets = self.reader.tree({"role": "frame"})
        return tuple(x.name or x.text for x in widgets if x.role != "table cell" and x.name)

    @property
    def xml(self) -> str:
        """What the XML tab shows of the NIC."""
        self._open("XML")
        return next(x.text for x in self.reader.tree({"role": "frame"}) if x.name == "XML editor")

    def write_xml(self, text: str) -> None:
        """Replace the text in the XML tab."""
        self._open("XML")
        self.reader.write(_EDITOR, text)

    def _open(self, page: str) -> None:
        self.reader.choose({"role": "page tab", "name": page})
        self.reader.wait(_EDITOR if page == "XML" else _PAGE)

    # ------------------------------------------------------------------ what becomes of it

    def apply(self) -> Dialog | None:
        """Press Apply: the message that comes, or None when the change is taken."""
        self.reader.wait(_APPLY | {"enabled": True})
        self.reader.press(_APPLY)
        done = self.reader.wait(_ALERT, _APPLY | {"enabled": False})
        return None if done else self.dialog()

    def cancel(self) -> None:
        """Take back what is not applied."""
        self.reader.press(_CANCEL)
        self.reader.wait(_APPLY | {"enabled": False})

    def leave(self, row: str = "Memory") -> None:
        """Go to another row of the list of hardware; asks when something is not applied."""
        self.reader.click({"role": "table cell", "name": row})

    def dialog(self) -> Dialog:
        """The message that is shown."""
        widgets = self.reader.tree(_ALERT)
        words = (x.text for x in widgets if x.role == "label")
        buttons = (x.name for x in widgets if x.role == "push button")
        return Dialog(tuple(x for x in words if x), tuple(x for x in buttons if x))

    def dismiss(self, button: str = "Close") -> None:
        """Press a button of the message, and wait for it to go."""
        self.reader.press({"role": "push button", "name": button, "in": _ALERT})
        self.reader.wait_gone(_ALERT)

    def close(self) -> None:
        """End it, whatever it shows; idempotent."""
        self._undo.close()


def _page(widgets: list[Widget], sources: list[str]) -> NicPage:
    def labelled(label: str) -> Widget | None:
        return next((x for x in widgets if x.label == label), None)

    device, model = labelled("Device name:"), labelled("Device model:")
    labels = tuple(x.text for x in widgets if x.role == "label" and x.text)
    return NicPage(
        labels=labels,
        sources=tuple(sources),
        source=next((x.chosen for x in widgets if x.name == "net-source"), ""),
        device=device.text if device else "",
        model=(model.chosen or model.name) if model else "",
        mac=next((x for x in labels if x.count(":") == 5), ""),
        link=any(x.checked for x in widgets if x.role == "check box"),
    )
