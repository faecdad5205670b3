"""The program without its script."""

import subprocess
import sys

from crossband import __version__


def test_python_m_crossband_is_the_command_line():
    said = subprocess.run(
        [sys.executable, "-m", "crossband", "--version"], capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0
    assert said.stdout.strip() == __version__
