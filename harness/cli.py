"""The command line: parses, calls, prints, and turns exceptions into exit statuses.

0  as expected      1  the kernel differs      2  usage      3  the environment cannot do it
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from harness.errors import DifferenceError, HairpinError, UsageError
from harness.interrupts import remember_interrupts
from harness.matrixing import add_matrix, run_matrix
from harness.srioving import add_sriov, run_sriov
from harness.vming import add_vm, run_vm, split_command
from harness.vsing import add_vsi, run_vsi

__all__ = ["main"]

EXIT_DIFFERS, EXIT_USAGE, EXIT_UNFIT, EXIT_INTERRUPTED = 1, 2, 3, 130
_HAIRPIN_FOLDER = Path(".hairpin")
_DEFAULT_SECONDS = 60


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hairpin",
        description="Proves what macvtap really does: on this kernel, frame by frame.",
    )
    parser.add_argument("--version", action="version", version=f"hairpin {version('hairpin')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="the conformance suite on this kernel",
        description="Run the conformance suite on this kernel and print the matrix. Other "
        "arguments go to pytest: -k, --lf, -x, test files of your own.",
    )
    run.add_argument(
        "--backend",
        choices=("auto", "tap", "packet"),
        default="auto",
        help="what stands for a guest; auto: a tap descriptor where one can be opened",
    )
    run.add_argument(
        "--output",
        type=Path,
        default=_HAIRPIN_FOLDER,
        metavar="DIR",
        help="where reports go (default: .hairpin)",
    )
    run.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="reports go there, rather than into a new folder under --output",
    )
    run.add_argument(
        "--dmesg",
        action="store_true",
        help="fail a case when the kernel logs a warning or an oops during it",
    )

    run.add_argument(
        "-j", "--jobs", type=_positive, default=1, metavar="N", help="processes that run tests (1)"
    )
    run.add_argument(
        "--each-choice",
        action="store_true",
        help="a third of the cases: every row of every table of a test, not every combination",
    )

    last = commands.add_parser(
        "last",
        help="what came of the last run, and the evidence on its differences",
        description="Print the summary of the last run: what differed, why, and where the evidence "
        "is. With CASE: the whole evidence on the cases whose name has that in it.",
    )
    last.add_argument("case", nargs="?", metavar="CASE", help="part of a differing case's name")
    last.add_argument("--matrix", action="store_true", help="the matrices too, as `run` does")
    last.add_argument(
        "--output",
        type=Path,
        default=_HAIRPIN_FOLDER,
        metavar="DIR",
        help="where reports are (default: .hairpin)",
    )

    compare = commands.add_parser(
        "compare",
        help="what differs between two runs, case by case; needs no root",
        description="Hold two runs against each other: outcomes and copies, with the model's "
        "traces of both. Exit status 1 when anything differs.",
    )
    for name in "A", "B":
        compare.add_argument(
            name.lower(), type=Path, metavar=name, help="a results.json, or the folder of a run"
        )
    compare.add_argument("--all", action="store_true", help="tell every difference in full")

    explain = commands.add_parser(
        "explain",
        help="what the model says becomes of a frame, and why; needs no root",
        description="Follow a frame through a topology with the reference model.",
    )
    explain.add_argument("topology", type=Path, metavar="TOPOLOGY", help="a TOML file")
    explain.add_argument("--from", dest="sender", required=True, metavar="STATION")
    explain.add_argument(
        "--to", required=True, metavar="TARGET", help="a station, broadcast, unknown or a MAC"
    )
    explain.add_argument("--source", default="", help="a source address that is not the sender's")
    explain.add_argument("--via", default="", metavar="ROUTER", help="send IPv4 through the router")
    explain.add_argument("--vlan", type=int, metavar="ID", help="an 802.1Q tag the sender puts on")
    _add_explore(commands)
    _add_bench(commands)
    _add_guests(commands)
    add_vsi(commands)
    add_sriov(commands)
    add_vm(commands)
    add_matrix(commands)
    return parser


def _add_explore(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explore = commands.add_parser(
        "explore",
        help="random networks and changes, the model against the kernel",
        description="Bring up random networks, change them at random, and hold what the kernel "
        "does with every kind of frame against the model. The first difference is made small and "
        "saved as a case for hairpin run. Without a limit it explores for a minute.",
    )
    explore.add_argument("--seconds", type=_positive, metavar="N", help="stop after N seconds")
    explore.add_argument("--verdicts", type=_positive, metavar="N", help="stop after N verdicts")
    explore.add_argument(
        "--seed", type=int, metavar="N", help="draw the same again (default: by chance)"
    )
    explore.add_argument("--backend", choices=("auto", "tap", "packet"), default="auto")
    explore.add_argument("--output", type=Path, default=_HAIRPIN_FOLDER, metavar="DIR")


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="throughput, latency, loss and scale, beside what one would use instead",
        description="Measure macvtap on this machine: rates on one core and on two, latency under "
        "load, loss, bursts, many guests, and rivals on the same path. Tables on the terminal, "
        "bench.json and plots in a folder. All of it takes six minutes and more; every option "
        "narrows it down.",
    )
    bench.add_argument("--quick", action="store_true", help="the most important, in 20 seconds")
    bench.add_argument(
        "--compare",
        type=Path,
        metavar="BASE.json",
        help="hold the figures against an earlier run's; exit status 1 when something is slower",
    )
    bench.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="NAME",
        help="this test only; may be repeated (a wrong name prints them all)",
    )
    bench.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="PART",
        help="paths with this in their names only; may be repeated",
    )
    bench.add_argument(
        "--frame",
        action="append",
        default=[],
        metavar="BYTES",
        help="64 to 65539 with the check sequence, or GSO; may be repeated",
    )
    bench.add_argument("--rounds", type=_between(1, 1000), metavar="N", help="samples of each")
    bench.add_argument(
        "--rate",
        type=_between(1, 100_000_000),
        metavar="N",
        help="frames per second under which latency is measured (default: half the throughput)",
    )
    bench.add_argument(
        "--guests",
        type=_between(2, 1000),
        action="append",
        default=[],
        metavar="N",
        help="guests on the lower device; may be repeated",
    )
    bench.add_argument(
        "--queues",
        type=_between(1, 256),
        action="append",
        default=[],
        metavar="N",
        help="queues of the receiving tap; may be repeated",
    )
    bench.add_argument("--output", type=Path, default=_HAIRPIN_FOLDER, metavar="DIR")


def _add_guests(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    guests = commands.add_parser(
        "guests",
        help="the same with real guests: QEMU under a libvirt of our own",
        description="Start real guests under a private libvirtd, behind our switch, and hold what "
        "they see against the model, beside what taps show. Nothing of the host's libvirt is "
        "touched. Other arguments go to pytest: -k, -x, test files of your own.",
    )
    guests.add_argument(
        "--domain",
        type=Path,
        action="append",
        default=[],
        metavar="XML",
        help="try the macvtap interfaces of this domain; may be repeated",
    )
    guests.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="DEV=LINK",
        help="what the domain calls DEV is called LINK in the test; may be repeated",
    )
    guests.add_argument(
        "--connect",
        metavar="URI",
        help="two guests on --link under a libvirtd that is there, to see what the switch does",
    )
    guests.add_argument("--link", metavar="LINK", help="a link of this machine, for --connect")
    guests.add_argument("--output", type=Path, default=_HAIRPIN_FOLDER, metavar="DIR")


def _between(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number in that range, for argparse."""

    def number(text: str) -> int:
        try:
            value = int(text.replace(",", "").replace("_", ""))
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(
                f"{text} is out of range; allowed: {lowest:,} to {highest:,}"
            )
        return value

    return number


def _positive(text: str) -> int:
    try:
        number = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is none; allowed: 1 and more")
    return number


def _explore(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.exploring import run_exploration

    if rest:
        raise UsageError(f"unknown argument {rest[0]}; see hairpin explore --help")
    seconds = arguments.seconds
    if seconds is None and arguments.verdicts is None:
        seconds = _DEFAULT_SECONDS
    return run_exploration(
        seconds=seconds,
        verdicts=arguments.verdicts,
        seed=arguments.seed,
        backend=arguments.backend,
        output=arguments.output,
    )


def _bench(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest, "bench")
    from harness.bench.plan import Selection
    from harness.benching import run_benchmark

    selection = Selection.of(
        tests=arguments.test,
        paths=arguments.path,
        frames=arguments.frame,
        rounds=arguments.rounds,
        rate=arguments.rate,
        guests=arguments.guests,
        queues=arguments.queues,
    )
    return run_benchmark(
        quick=arguments.quick,
        selection=selection,
        base=arguments.compare,
        output=arguments.output,
    )


def _run(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.kernel.privileges import ensure_namespaces
    from harness.suite import run_suite

    # Before pytest starts: workers of pytest-xdist have threads, which may not enter one.
    ensure_namespaces()
    chosen = ["--hairpin-each-choice"] if arguments.each_choice else []
    return run_suite(
        [*rest, *chosen],
        backend=arguments.backend,
        output=arguments.output,
        folder=arguments.folder,
        dmesg=arguments.dmesg,
        jobs=arguments.jobs,
    )


def _guests(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.guesting import run_guests, run_trial

    if bool(arguments.connect) is not bool(arguments.link):
        raise UsageError("--connect and --link go together: which libvirtd, and on which link")
    if arguments.connect:
        _refuse(rest, "guests")
        return run_trial(arguments.connect, arguments.link)
    return run_guests(
        rest, domains=arguments.domain, devices=arguments.map, output=arguments.output
    )


def _explain(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.frames import Tag
    from harness.report.explain import explanation
    from harness.stimulus import Stimulus
    from harness.topofile import load_topology

    _refuse(rest, "explain")
    topology = load_topology(arguments.topology)
    tag = Tag(arguments.vlan) if arguments.vlan is not None else None
    stimulus = Stimulus(
        arguments.sender, arguments.to, source=arguments.source, via=arguments.via, tag=tag
    )
    print(explanation(topology, stimulus))
    return 0


def _last(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.report import evidence_texts, last_folder, make_console, print_run, results_of

    _refuse(rest, "last")
    folder = last_folder(arguments.output)
    run = results_of(folder)
    if arguments.case is None:
        print_run(run, make_console(), folder=folder, matrix=arguments.matrix)
    else:
        print("\n\n".join(evidence_texts(run, folder, arguments.case)))
    return 0


def _compare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from harness.report import compare, make_console, print_comparison, results_of

    _refuse(rest, "compare")
    comparison = compare(results_of(arguments.a), results_of(arguments.b))
    names = (str(arguments.a), str(arguments.b))
    print_comparison(comparison, make_console(), names=names, whole=arguments.all)
    return EXIT_DIFFERS if comparison.changes else 0


def _matrix(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest, "matrix")
    return run_matrix(arguments)


def _vsi(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    if arguments.action != "test":  # whose further arguments are pytest's
        _refuse(rest, f"vsi {arguments.action}")
    return run_vsi(arguments, rest)


def _vm(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest, "vm")
    return run_vm(arguments)


def _refuse(rest: Sequence[str], command: str) -> None:
    if rest:
        raise UsageError(f"unknown argument {rest[0]}; see hairpin {command} --help")


_COMMANDS = {
    "run": _run,
    "last": _last,
    "compare": _compare,
    "explain": _explain,
    "explore": _explore,
    "bench": _bench,
    "guests": _guests,
    "sriov": run_sriov,
    "vm": _vm,
    "vsi": _vsi,
    "matrix": _matrix,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; returns the exit status."""
    remember_interrupts()
    words, inside = split_command(sys.argv[1:] if argv is None else argv)
    arguments, rest = _parser().parse_known_args(words)
    arguments.inside = inside
    command = _COMMANDS[arguments.command]
    try:
        return command(arguments, rest)
    except UsageError as error:
        return _complain(error, EXIT_USAGE)
    except DifferenceError as error:
        return _complain(error, EXIT_DIFFERS)
    except HairpinError as error:
        return _complain(error, EXIT_UNFIT)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(error: HairpinError, status: int) -> int:
    print(f"hairpin: {error}", file=sys.stderr)
    return status
