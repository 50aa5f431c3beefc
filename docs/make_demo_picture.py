"""Runs `mesh demo` and draws what it printed: python docs/make_demo_picture.py"""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 92
PICTURE = Path(__file__).with_name("demo.svg")


def main() -> None:
    """Writes docs/demo.svg."""
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115 - lives as long as we do
    console.print(Text.from_ansi("$ mesh demo"))
    console.print(Text.from_ansi(_printed([sys.executable, "-m", "hubless.cli", "demo"])))
    drawn = console.export_svg(title="mesh demo")
    PICTURE.write_text(
        re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    )  # no fonts from the network


def _printed(command: list[str]) -> str:
    """What the command prints to a terminal, as its last state would look."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "LINES": "60", "TERM": "xterm-256color"}
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=theirs, stderr=subprocess.STDOUT, stdin=theirs, env=environment
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end has closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    if process.wait() != 0:
        raise SystemExit(f"the demo failed with exit code {process.returncode}")
    return _settled(b"".join(chunks).decode())


def _settled(text: str) -> str:
    """Applies cursor-up and erase-line as a terminal does, so that a live display leaves its last frame alone."""
    lines: list[str] = [""]
    row = 0
    for part in text.replace("\r\n", "\n").replace("\x1b[?25l", "").replace("\x1b[?25h", "").split("\n"):
        rest = part
        while "\x1b[1A" in rest or "\x1b[2K" in rest:
            up, erase = rest.find("\x1b[1A"), rest.find("\x1b[2K")
            if erase == -1 or (up != -1 and up < erase):
                lines[row] += rest[:up].replace("\r", "")
                row, rest = max(0, row - 1), rest[up + 4 :]
            else:
                lines[row], rest = "", rest[erase + 4 :]
        lines[row] += rest.replace("\r", "")
        row += 1
        if row == len(lines):
            lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
