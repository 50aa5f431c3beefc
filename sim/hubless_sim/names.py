"""What nodes are called: a node id belongs to a disk, and a wiped disk is another node on the same machine."""

from functools import lru_cache


def name_of(index: int, formats: int) -> str:
    """The node on machine ``index`` whose disk was wiped so often."""
    return f"n{index}.{formats}" if formats else f"n{index}"


@lru_cache(maxsize=4096)
def place_of(name: str) -> int:
    """The machine that a node runs on, or ran on."""
    return int(name[1:].partition(".")[0])


def formats_of(name: str) -> int:
    """How often the disk of its machine was wiped before the node."""
    return int(name.partition(".")[2] or 0)
