"""``python -m hubless_sim TAPE``: run a tape and print its result as JSON ("-" reads standard input)."""

import sys
from pathlib import Path

import click
import msgspec

from hubless_sim.play import play
from hubless_sim.tapes.tape import TapeError, parse


@click.command(name="hubless_sim")
@click.argument("tape")
def main(tape: str) -> None:
    """Run TAPE (a file, or - for standard input) and print digest, figures and what was found as JSON."""
    try:
        raw = sys.stdin.buffer.read() if tape == "-" else Path(tape).read_bytes()
        result = play(parse(raw))
    except OSError as error:
        raise click.ClickException(f"{tape}: {error.strerror}. Name a file that holds a tape.") from error
    except TapeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2))


if __name__ == "__main__":
    main()
