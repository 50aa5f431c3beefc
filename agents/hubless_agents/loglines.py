"""Lines out of a worker's stdout or stderr, bounded in length and in number per second."""

from typing import Final

LINE_LIMIT_CHARS: Final = 4_096
LINES_PER_S: Final = 1_000
BYTES_PER_S: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000


class LogLines:
    """What exceeds the bounds is counted and told in one line, so that a flood costs the node next to nothing."""

    __slots__ = ("_bytes", "_dropped", "_lines", "_rest", "_window_ns")

    def __init__(self) -> None:
        self._rest = b""
        self._window_ns = 0
        self._lines = 0
        self._bytes = 0
        self._dropped = 0

    def feed(self, now_ns: int, chunk: bytes) -> list[str]:
        """The lines that this chunk completes."""
        told: list[str] = []
        if now_ns - self._window_ns >= _SECOND_NS:
            told = self._end_of_window(now_ns)
        self._bytes += len(chunk)
        if self._bytes > BYTES_PER_S or self._lines > LINES_PER_S:
            self._dropped += chunk.count(b"\n")
            self._rest = b""
            return told
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:LINE_LIMIT_CHARS]
        room = max(LINES_PER_S - self._lines, 0)
        self._lines += len(lines)
        self._dropped += max(len(lines) - room, 0)
        return told + [_text(line) for line in lines[:room]]

    def close(self) -> list[str]:
        """What is left at the end of the stream."""
        told = [_text(self._rest)] if self._rest else []
        self._rest = b""
        return told + self._end_of_window(self._window_ns)

    def _end_of_window(self, now_ns: int) -> list[str]:
        dropped, self._dropped = self._dropped, 0
        self._window_ns, self._lines, self._bytes = now_ns, 0, 0
        return [f"[{dropped} lines dropped: more than this node takes in a second]"] if dropped else []


def _text(line: bytes) -> str:
    text = line[:LINE_LIMIT_CHARS].decode("utf-8", "replace").rstrip("\r")
    return text + "…" if len(line) > LINE_LIMIT_CHARS else text
