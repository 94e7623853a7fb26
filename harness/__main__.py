"""``python -m harness`` is ``hairpin``."""

from harness.cli import main

raise SystemExit(main())
