"""The wheel alone: built, installed into an empty environment, run from another folder."""

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def _run(*command, cwd, **settings):
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **settings
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def test_wheel_runs_alone(tmp_path):
    """The suite ships in it; nothing of the checkout is needed."""
    _run(
        *(
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--outdir",
            str(tmp_path / "dist"),
            str(CHECKOUT),
        ),
        cwd=tmp_path,
    )
    (wheel,) = (tmp_path / "dist").glob("hairpin-*.whl")
    _run(sys.executable, "-m", "venv", str(tmp_path / "venv"), cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    _run(str(python), "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = _run(
        *(str(tmp_path / "venv" / "bin" / "hairpin"), "run", "-k", "test_guest_to_guest"),
        cwd=elsewhere,
        env=clean,
    )
    assert "The kernel did what the model predicts." in said
    assert "18 passed" in said
