"""Make the environment `.venv` from the requirements. Run by make with the machine's own Python, so stdlib only.

uv installs, as it is several times faster; where uv itself cannot be had, or does not know the machine's way to its
packages, pip does it alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = ROOT / ".venv-install.log"
PACKAGES = ("-r", "requirements-dev.txt", "-c", "constraints.txt")
OLDEST = (3, 11)
TAIL_LINES = 30


class Failed(Exception):
    """A step ended with an error; its output is in the log."""


class Progress:
    """One line that counts the seconds: rewritten in place on a terminal, else only a first and a last line."""

    def __init__(self) -> None:
        count = sum(1 for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
        self._text = f"Installing Coinop's environment (about {round(count, -1)} packages)…"
        self._began = time.monotonic()
        self._live = sys.stdout.isatty()
        if not self._live:
            print(self._text, flush=True)

    def show(self) -> None:
        if self._live:
            print(f"\r{self._text}  [{self._seconds()} s]", end="", flush=True)

    def end(self, outcome: str) -> None:
        line = f"{outcome} [{self._seconds()} s]"
        print(f"\r{self._text}  {line}" if self._live else line, flush=True)

    def _seconds(self) -> int:
        return int(time.monotonic() - self._began)


def run(argv: Sequence[str], progress: Progress) -> None:
    """Run a step with its output in the log. Raises `Failed`."""
    with LOG.open("ab") as log:
        log.write(f"\n$ {' '.join(argv)}\n".encode())
        log.flush()
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while True:
                progress.show()
                try:
                    process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise Failed


def make_venv(progress: Progress) -> None:
    """Make `.venv`, or keep the one there is if its Python still runs."""
    try:
        run([str(PYTHON), "-c", f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"], progress)
    except (Failed, OSError):
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], progress)


def install(progress: Progress) -> None:
    """Install the packages with uv, or with pip when that fails."""
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    try:
        run([*pip, "uv", "-c", "constraints.txt"], progress)
        # Compiled now, once: nine processes that start side by side would each do it for themselves.
        uv = [str(VENV / "bin" / "uv"), "pip", "install", "--compile-bytecode"]
        run([*uv, "--python", str(PYTHON), *PACKAGES], progress)
    except (Failed, OSError):
        run([*pip, *PACKAGES], progress)


def main() -> int:
    LOG.write_bytes(b"")
    progress = Progress()
    try:
        make_venv(progress)
        install(progress)
    except KeyboardInterrupt:
        progress.end("interrupted; the next make goes on with it")
        return 130
    except Failed:
        progress.end("failed")
        tail = LOG.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        print("\n".join([f"The last lines of {LOG}:", *(f"  {line}" for line in tail)]), file=sys.stderr)
        if any("ensurepip" in line for line in tail):
            print("This Python cannot make environments: install its venv package (python3-venv).", file=sys.stderr)
        return 1
    progress.end("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
