"""A page of the documents as a reader uses it: its shell blocks, run in one shell as they are written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config import ROOT

WRITTEN = "http://127.0.0.1:8000"
"""Where the pages say that Coinop is."""

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="this machine has no curl")


def run_blocks(page: str, *, address: str, folder: Path) -> list[str]:
    """Run what `docs/<page>` has between ```sh and ```, from top to bottom, against the Coinop at this address and in
    this folder. Fails with what was said if a command does. Returns what each block printed."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program = "\necho ----\n".join(blocks).replace(WRITTEN, address)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.split("----\n")
