"""What two guests on a link of this machine saw, as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.guests.trial import Trial

__all__ = ["print_trial"]

_MARKS = {True: "✓", False: "–"}


def print_trial(trial: Trial, console: Console) -> None:
    """A row a mode: what came from guest to guest, and whether that is as predicted."""
    verb = "sends frames back (hairpin)" if trial.reflects else "sends nothing back"
    console.print(f"{trial.link}, libvirt {trial.libvirt}: what is behind it {verb}.")
    table = Table("mode", "frame", "broadcast", "ping", "", box=None, pad_edge=False)
    for row in trial.rows:
        said = "as predicted" if row.agrees else "[bold red]not as predicted[/]"
        marks = [_MARKS[x] for x in (row.frame, row.broadcast, row.ping)]
        table.add_row(str(row.mode), *marks, said)
    console.print(table)
    for row in trial.rows:
        if not row.agrees:
            wanted = ", ".join(
                f"{what} {_MARKS[x]}"
                for what, x in zip(("frame", "broadcast", "ping"), row.predicted, strict=True)
            )
            console.print(f"{row.mode}: predicted {wanted}", *row.unlike, sep="; ")
    for change in trial.changed:
        console.print(f"[bold red]{trial.link} is not as it was: {change}[/]")
    if trial.rows and not trial.reflects:
        console.print("Guests in vepa mode do not reach each other here; bridge mode would do.")
