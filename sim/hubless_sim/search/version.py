"""Which code runs: another version of it may well find something else in the same seed."""

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("hubless", "hubless_agents", "hubless_gossip", "hubless_sim")
_DIGITS = 16


def code_digest(packages: Iterable[str] = PACKAGES) -> str:
    """The beginning of the SHA-256 over all sources of the packages."""
    digest = hashlib.sha256()
    for name in packages:
        spec = find_spec(name)
        for root in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(root).rglob("*.py")):
                source = path.read_bytes()
                digest.update(f"{name}/{path.relative_to(root).as_posix()} {len(source)}\n".encode())
                digest.update(source)
    return digest.hexdigest()[:_DIGITS]
