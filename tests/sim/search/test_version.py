"""The digest of the code: the same for the same sources, another one for any other."""

from __future__ import annotations

import importlib

from hubless_sim.search.version import code_digest


def test_it_changes_with_every_source_and_with_its_name(tmp_path, monkeypatch):
    package = tmp_path / "digested_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "rules.py").write_text("LIMIT = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest() -> str:
        importlib.invalidate_caches()
        return code_digest(["digested_package"])

    first = digest()
    (package / "notes.txt").write_text("no source")
    assert digest() == first
    (package / "inner" / "rules.py").write_text("LIMIT = 2\n")
    second = digest()
    (package / "inner" / "rules.py").rename(package / "inner" / "other.py")
    assert len({first, second, digest()}) == 3
