"""Runs the suite again and again, several at once, and compares every verdict.

    .venv/bin/python tests/soak.py --runs 200 --at-once 4

Exits 0 when every run did, and each case came to the same outcome in all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def one_run(number: int) -> tuple[int, int, frozenset[tuple[str, str, str, str]], str]:
    """Number, exit status, and (case, row, column, outcome) of every record of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "harness", "run", "--output", folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        text = (Path(folder) / "last" / "results.json").read_text()
        records = json.loads(text)["records"]
    cells = frozenset((r["case"], r["row"], str(r["column"]), r["outcome"]) for r in records)
    return number, result.returncode, cells, result.stdout


def main() -> int:
    """Run, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=4)
    arguments = parser.parse_args()
    started = time.monotonic()
    first: frozenset[tuple[str, str, str, str]] | None = None
    statuses: Counter[int] = Counter()
    differing = 0
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for number, status, cells, said in pool.map(one_run, range(1, arguments.runs + 1)):
            statuses[status] += 1
            first = first or cells
            if status or cells != first:
                differing += 1
                print(f"run {number}: exit {status}, {sorted(cells ^ first)[:6]}\n{said[-6000:]}")
            elif number % 10 == 0:
                print(f"{number} runs, {len(cells)} cells each, {differing} differing", flush=True)
    took = time.monotonic() - started
    print(
        f"{arguments.runs} runs, {arguments.at_once} at once, {took:.0f} s: exit statuses "
        f"{dict(statuses)}, {len(first or ())} cells each, {differing} runs differ"
    )
    return bool(differing)


if __name__ == "__main__":
    raise SystemExit(main())
