"""The log in memory against a plain list of entries, and of which of them the disk has heard."""

from hypothesis import given
from hypothesis import strategies as st

from hubless.shard.log import ENTRY_BYTES, Log
from hubless.wire.replication import Entry

steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 4)),
        st.tuples(st.just("truncate"), st.integers(0, 5)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("compact"), st.integers(0, 4)),
        st.tuples(st.just("forget"), st.integers(0, 4)),
    ),
    max_size=40,
)


class Model:
    """Every entry there ever was by index, what is written, and what of that is on disk."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.snapshot = 0
        self.forgotten = 0
        self.disk: list[Entry] = []
        self.writes: list[tuple[int, list[Entry]]] = []

    def stable(self) -> int:
        """How far the disk agrees with memory."""
        agreed = 0
        for entry, written in zip(self.entries, self.disk, strict=False):
            if entry is not written:
                break
            agreed += 1
        return agreed


@given(steps=steps)
def test_the_log_is_a_list_of_entries_some_of_them_on_disk(steps: list[tuple[str, int]]) -> None:
    log, model = Log(), Model()
    term = token = 0
    for step, number in steps:
        if step == "extend":
            term += 1
            first = len(model.entries) + 1
            fresh = [Entry(first + at, term, 1, b"x" * (at * 7)) for at in range(number)]
            log.extend(fresh)
            model.entries += fresh
        elif step == "truncate":
            index = max(model.snapshot, model.forgotten, len(model.entries) - number) + 1
            if index <= len(model.entries):
                log.truncate(index)
                del model.entries[index - 1 :]
        elif step == "write":
            token += 1
            unsaved = log.take_unsaved()
            assert log.take_unsaved() == ()
            log.mark(token)
            model.writes.append((token, list(unsaved)))
        elif step == "flush" and model.writes:
            done, written = model.writes.pop(0)
            log.flushed(done)
            if written:
                model.disk[written[0].index - 1 :] = written
        elif step == "compact":
            index = min(len(model.entries), max(model.snapshot, model.forgotten) + number)
            if index > model.snapshot and log.stable >= index:
                log.compact(index)
                model.snapshot = index
        elif step == "forget":
            index = min(log.stable, model.forgotten + number)
            log.forget(index + 1)
            model.forgotten = max(model.forgotten, index)
        _compare(log, model)


def _compare(log: Log, model: Model) -> None:
    assert log.stable <= model.stable()
    assert log.last_index == len(model.entries)
    assert log.first_index == model.forgotten + 1
    if model.forgotten:
        assert log.term(model.forgotten) == model.entries[model.forgotten - 1].term
    assert log.term(model.forgotten - 1) == -1
    for index in range(log.first_index, log.last_index + 1):
        assert log.term(index) == model.entries[index - 1].term
    assert log.slice(log.first_index, log.last_index) == tuple(model.entries[log.first_index - 1 :])
    assert log.term(log.last_index + 1) == -1
    rest = model.entries[model.snapshot :]
    assert log.uncompacted_bytes == sum(len(entry.body) + ENTRY_BYTES for entry in rest)


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    forgotten=st.integers(0, 12),
    index=st.integers(0, 12),
    most_entries=st.integers(0, 6),
    most_bytes=st.integers(0, 120),
)
def test_a_margin_is_the_longest_that_both_limits_allow(
    sizes: list[int], forgotten: int, index: int, most_entries: int, most_bytes: int
) -> None:
    log = Log()
    log.extend([Entry(at, 1, 1, b"x" * size) for at, size in enumerate(sizes, 1)])
    forgotten, index = min(forgotten, len(sizes)), min(index, len(sizes))
    log.forget(forgotten + 1)

    def fits(first: int) -> bool:
        kept = sizes[first - 1 : index]
        return len(kept) <= most_entries and sum(kept) + ENTRY_BYTES * len(kept) <= most_bytes

    firsts = range(forgotten + 1, max(forgotten, index) + 2)
    assert log.margin(index, most_entries, most_bytes) == next(first for first in firsts if fits(first))


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    start=st.integers(1, 12),
    most_bytes=st.integers(1, 120),
    most_entries=st.integers(1, 6),
)
def test_a_batch_is_the_longest_that_the_limits_allow(
    sizes: list[int], start: int, most_bytes: int, most_entries: int
) -> None:
    log = Log()
    entries = [Entry(index, 1, 1, b"x" * size) for index, size in enumerate(sizes, 1)]
    log.extend(entries)
    batch = log.batch(start, most_bytes, most_entries)
    assert batch == tuple(entries[start - 1 : start - 1 + len(batch)])
    if start > len(entries):
        assert batch == ()
        return

    def weight(count: int) -> int:
        return sum(len(entry.body) + ENTRY_BYTES for entry in entries[start - 1 : start - 1 + count])

    assert len(batch) == 1 or weight(len(batch)) <= most_bytes
    assert len(batch) <= most_entries
    more = len(batch) + 1
    assert more > most_entries or start - 1 + more > len(entries) or weight(more) > most_bytes


@given(
    terms=st.lists(st.integers(1, 5), min_size=1, max_size=10).map(sorted),
    index=st.integers(0, 12),
    term=st.integers(0, 6),
)
def test_a_guess_is_the_highest_index_with_no_later_term_3_5(terms: list[int], index: int, term: int) -> None:
    log = Log()
    log.extend([Entry(at, given_term, 1, b"") for at, given_term in enumerate(terms, 1)])
    below = [at for at in range(min(index, len(terms)) + 1) if at == 0 or terms[at - 1] <= term]
    assert log.guess(index, term) == max(below)


def test_a_guess_does_not_stop_at_a_snapshot_of_a_later_term() -> None:
    log = Log()
    log.reset(40, 6)
    log.extend([Entry(41, 6, 1, b"")])
    assert log.guess(41, 4) < 40
    assert log.guess(41, 6) == 41


def test_a_mark_of_what_was_dropped_makes_nothing_stable() -> None:
    log = Log()
    log.extend([Entry(1, 1, 1, b""), Entry(2, 1, 1, b"")])
    log.mark(1)
    log.truncate(2)
    log.extend([Entry(2, 2, 1, b"")])
    log.flushed(1)
    assert log.stable == 1
    log.mark(2)
    log.flushed(2)
    assert log.stable == 2


def test_what_is_dropped_is_no_longer_on_disk() -> None:
    log = Log()
    log.extend([Entry(1, 1, 1, b""), Entry(2, 1, 1, b"")])
    log.mark(1)
    log.flushed(1)
    log.truncate(2)
    log.extend([Entry(2, 2, 1, b"")])
    assert log.stable == 1
