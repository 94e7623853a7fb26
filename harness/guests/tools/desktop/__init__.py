"""A screen for one program with windows, and somebody who reads and works them.

Screen ── virt-manager ◄── AT-SPI ──► driver ◄── lines of JSON ──► Reader ◄── VirtManager
"""

from harness.guests.tools.desktop.reader import Reader, Widget
from harness.guests.tools.desktop.screen import Screen
from harness.guests.tools.desktop.virtmanager import Dialog, NicPage, VirtManager

__all__ = ["Dialog", "NicPage", "Reader", "Screen", "VirtManager", "Widget"]
