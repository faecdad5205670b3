"""The Makefile's lines as the shell would see them; nothing is run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_folders_with_blanks_stay_one_argument():
    command = ["make", "--dry-run", "demo", "DATA=my pairs", "OUT=my results"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 'crossband demo --data "my pairs" --out "my results"' in done.stdout
