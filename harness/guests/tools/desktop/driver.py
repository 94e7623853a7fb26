"""Reads and works windows through AT-SPI, as a screen reader does, at somebody else's word.

It is started as a script by the system's own Python, which has `gi`, with the number of a socket
that brings requests and takes answers, one line of JSON each:

    {"do": "wait", "any": [{"role": "alert"}], "within": 5}     → {"ok": 0}
    {"do": "press", "what": {"role": "push button", "name": "config-apply"}} → {"ok": true}
    {"missing": "…"} where what was asked for does not show up, {"failed": "…"} otherwise

A thing is described by what must be so of it: `role`, `name`, `label` (what labels it), `text`,
`enabled`, `editable`, and `in`, the thing that it is inside of. Only what is shown counts.

The first answer comes by itself: {"ok": "ready"}, or {"unfit": "…"} without `gi`.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

try:
    import gi

    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi, GLib
except (ImportError, ValueError) as lacking:
    _LACKING = str(lacking)
else:
    _LACKING = ""

__all__ = ["serve"]

_LOOK_AGAIN = 0.02  # seconds; nobody tells that something is not there yet
_ANSWER_WITHIN = 3000  # milliseconds, for one call
_MODAL_WITHIN = 500  # milliseconds, for an action
_WITHIN = 15.0  # seconds

Thing = dict[str, Any]


class Missing(Exception):  # noqa: N818
    """What was asked for is not shown in time."""


# ---------------------------------------------------------------------- finding


def children(node: Any) -> Iterator[Any]:
    """Those of a node; fewer when it changes meanwhile."""
    try:
        for place in range(node.get_child_count()):
            child = node.get_child_at_index(place)
            if child is not None:
                yield child
    except GLib.Error:
        return


def has(node: Any, state: Any) -> bool:
    """Whether the node is in this state."""
    return bool(node.get_state_set().contains(state))


def shown(node: Any, depth: int = 0) -> Iterator[tuple[Any, int]]:
    """The node and all that is shown inside of it, with depth."""
    for child in children(node):
        try:
            # A window that is not mapped, a page that is not open: nothing in it is shown.
            if not has(child, Atspi.StateType.SHOWING):
                continue
        except GLib.Error:
            continue
        yield child, depth
        yield from shown(child, depth + 1)


def text_of(node: Any) -> str:
    """Its text; for what has none, nothing."""
    if node.get_text_iface() is None:
        return ""
    return str(Atspi.Text.get_text(node, 0, -1))


def fits(node: Any, what: Thing) -> bool:
    """Whether all is so of the node that `what` says."""
    try:
        return (
            what.get("role") in (None, node.get_role_name())
            and what.get("name") in (None, node.get_name())
            and what.get("label") in (None, label_of(node) if "label" in what else None)
            and what.get("text") in (None, text_of(node))
            and what.get("enabled") in (None, has(node, Atspi.StateType.SENSITIVE))
            and what.get("editable") in (None, has(node, Atspi.StateType.EDITABLE))
        )
    except GLib.Error:
        return False


def find(what: Thing) -> Any:
    """The first that is shown and fits; None when there is none now."""
    inside = what.get("in")
    root = find(inside) if inside else Atspi.get_desktop(0)
    if root is None:
        return None
    return next((node for node, _ in shown_from(root) if fits(node, what)), None)


def shown_from(root: Any) -> Iterator[tuple[Any, int]]:
    """Below the desktop come applications, which are never shown themselves."""
    if root.get_role_name() != "desktop frame":
        yield from shown(root)
        return
    for application in children(root):
        # Nobody here runs a main loop that would hear of changes. (Without any cache at all,
        # libatspi waits for ever in get_child_count.)
        application.clear_cache()
        yield from shown(application)


def label_of(node: Any) -> str:
    """The name of what labels it; empty without."""
    for relation in node.get_relation_set():
        if relation.get_relation_type() == Atspi.RelationType.LABELLED_BY:
            return str(relation.get_target(0).get_name())
    return ""


def chosen_in(node: Any) -> str:
    """What is chosen in a combo box; empty for what is none."""
    if node.get_role_name() != "combo box" or node.get_selection_iface() is None:
        return ""
    child = Atspi.Selection.get_selected_child(node, 0)
    return str(child.get_name()) if child else ""


def look_until(look: Callable[[], Any], within: float) -> Any:
    """What `look` returns once that is not None; None after so many seconds."""
    give_up = time.monotonic() + within
    while (seen := look()) is None and time.monotonic() <= give_up:
        # No event says that what is shown is complete: a toolkit tells of each part by itself, and
        # of some not at all. So the whole is looked at again, after a pause that lets it draw.
        time.sleep(_LOOK_AGAIN)
    return seen


def await_any(wanted: list[Thing], within: float) -> tuple[int, Any]:
    """Place in the list and node of the first that shows up. Raises Missing."""

    def look() -> tuple[int, Any] | None:
        nodes = ((place, find(what)) for place, what in enumerate(wanted))
        return next((found for found in nodes if found[1] is not None), None)

    shown: tuple[int, Any] | None = look_until(look, within)
    if shown is None:
        raise Missing(f"not shown within {within:g} s: {json.dumps(wanted)}")
    return shown


def await_one(request: Thing) -> Any:
    """The node that the request is about. Raises Missing."""
    return await_any([request["what"]], request.get("within", _WITHIN))[1]


def act(action: Callable[[], object]) -> bool:
    """Whether it has answered: one that opens a modal dialog does so after the dialog's end."""
    Atspi.set_timeout(_MODAL_WITHIN, _MODAL_WITHIN)
    try:
        action()
    except GLib.Error:
        return False
    finally:
        Atspi.set_timeout(_ANSWER_WITHIN, _ANSWER_WITHIN)
    return True


# ---------------------------------------------------------------------- what can be asked


def wait(request: Thing) -> int:
    """Which of several is shown first."""
    return await_any(request["any"], request.get("within", _WITHIN))[0]


def wait_gone(request: Thing) -> bool:
    """Until it is shown no more."""
    within = request.get("within", _WITHIN)
    if look_until(lambda: True if find(request["what"]) is None else None, within) is None:
        raise Missing(f"still shown after {within:g} s: {json.dumps(request['what'])}")
    return True


def tree(request: Thing) -> list[Thing]:
    """All that is shown inside of it, in the order of reading."""
    return [
        {
            "depth": depth,
            "role": node.get_role_name(),
            "name": node.get_name(),
            "text": text_of(node),
            "label": label_of(node),
            "chosen": chosen_in(node),
            "checked": has(node, Atspi.StateType.CHECKED),
            "enabled": has(node, Atspi.StateType.SENSITIVE),
        }
        for node, depth in shown(await_one(request))
    ]


def choices(request: Thing) -> list[str]:
    """Names of what a combo box offers, shown or not, in their order."""
    found: list[str] = []

    def gather(node: Any) -> None:
        for child in children(node):
            if child.get_role_name() == "menu item":
                found.append(child.get_name())
            gather(child)

    gather(await_one(request))
    return found


def choose(request: Thing) -> bool:
    """Open the page of a tab: the tab is the thing."""
    tab = await_one(request)
    tabs, place = tab.get_parent(), tab.get_index_in_parent()
    return act(lambda: Atspi.Selection.select_child(tabs, place))


def select(request: Thing) -> bool:
    """Select the row of a table that this cell is in."""
    cell = await_one(request)
    while cell.get_parent().get_role_name() == "table cell":
        cell = cell.get_parent()
    table = cell.get_parent().get_table_iface()
    row = table.get_row_at_index(cell.get_index_in_parent())
    # What it returns is of no use: False where it has selected (GTK's own treeview).
    return act(lambda: table.add_row_selection(row))


def write(request: Thing) -> bool:
    """Replace a text."""
    return bool(Atspi.EditableText.set_text_contents(await_one(request), request["text"]))


def press(request: Thing) -> bool:
    """Do what a click does."""
    node = await_one(request)
    return act(lambda: node.do_action(0))


def click(request: Thing) -> bool:
    """Click the mouse in the middle: for what would open a dialog while it answers us.

    Until that dialog is closed, GTK would hear no further call (a GSource does not recurse).
    """
    area = Atspi.Component.get_extents(await_one(request), Atspi.CoordType.SCREEN)
    x, y = area.x + area.width // 2, area.y + area.height // 2
    return bool(Atspi.generate_mouse_event(x, y, "b1c"))


KNOWN = {
    x.__name__: x for x in (choices, choose, click, press, select, tree, wait, wait_gone, write)
}


def answer(request: Thing) -> Thing:
    """What comes of a request."""
    try:
        return {"ok": KNOWN[request["do"]](request)}
    except Missing as missing:
        return {"missing": str(missing)}
    except GLib.Error as error:
        return {"failed": str(error)}


def serve(connection: socket.socket) -> None:
    """Answer until nobody asks any more."""
    with connection, connection.makefile("rw", encoding="utf-8") as lines:

        def say(what: Thing) -> None:
            lines.write(json.dumps(what) + "\n")
            lines.flush()

        if _LACKING:
            say({"unfit": _LACKING})
            return
        Atspi.init()
        Atspi.set_timeout(_ANSWER_WITHIN, _ANSWER_WITHIN)
        say({"ok": "ready"})
        for line in lines:
            say(answer(json.loads(line)))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
