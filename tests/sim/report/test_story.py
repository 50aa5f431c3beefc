"""What led to a violation, and which part of a run is shown."""

import msgspec
import pytest

from hubless_sim.faults import Isolate
from hubless_sim.report import Recording, record, window
from hubless_sim.report.past import Star, past_of, star_of
from hubless_sim.report.readings import ROUTINE
from hubless_sim.report.recording import NEVER
from hubless_sim.report.story import Story, default_window
from hubless_sim.report.tasks import lines_of
from hubless_sim.tapes.tape import Tape
from hubless_sim.verdict import Violation

MS = 1_000_000


def test_a_past_has_all_causes_of_what_is_in_it(gossip: Recording) -> None:
    star = Star(Violation("views", "wrong", 2_500 * MS, ("n0",)), 2_500 * MS, (0,), is_exact=True)
    past = past_of(gossip, star)
    assert max(gossip.events[number].at_ns for number in past) <= star.at_ns
    for number in past:
        event = gossip.events[number]
        earlier = [each.number for each in gossip.of_node[event.node] if each.number < number]
        assert not earlier or earlier[-1] in past
        if event.copy != NEVER:
            cause = gossip.copies[event.copy].cause
            assert past[cause] <= past[number] + 1


def test_who_is_cut_off_is_not_in_the_past_of_others() -> None:
    tape = Tape(seed=1, nodes=4, duration_ms=4_000, faults=(Isolate(at_ms=1_000, nodes=("n3",)),))
    recording = record(tape)
    past = past_of(recording, Star(Violation("views", "wrong"), 4_000 * MS, (0,), is_exact=True))
    last = {
        node: max(event.at_ns for event in recording.of_node[node] if event.number in past) // MS
        for node in range(4)
    }
    assert last[3] < 1_010
    assert min(last[1], last[2]) > 3_000


def test_a_violation_is_where_its_checker_says(gossip: Recording) -> None:
    gossip_of = Violation("views", "n2 is wrong", 2_000 * MS, ("n1",))
    assert _star(gossip, gossip_of) == Star(gossip_of, 2_000 * MS, (1,), is_exact=True)
    in_words = Violation("views", "n2 is wrong")
    assert _star(gossip, in_words) == Star(in_words, gossip.end_ns, (2,), is_exact=False)
    nobody = Violation("views", "all is wrong")
    assert _star(gossip, nobody) == Star(nobody, gossip.end_ns, (0, 1, 2, 3, 4), is_exact=False)
    assert star_of(gossip) is None


def test_a_violation_of_a_task_is_where_it_was_last_told_of(mesh: Recording) -> None:
    star = _star(mesh, Violation("nothing lost", "call 1 has succeeded, and is queued"))
    assert star is not None
    assert star.nodes == (3,)
    assert star.at_ns == lines_of(mesh)[1].outcomes[0].at_ns


def test_an_operation_that_nothing_explains_is_where_it_returned(dead: Recording) -> None:
    text = "see Operation(call_ns=400000000, return_ns=450000000, input=Read(), output=1, client='n3')"
    assert _star(dead, Violation("linearizable", text)) == Star(
        Violation("linearizable", text), 450 * MS, (3,), is_exact=False
    )


def _star(recording: Recording, violation: Violation) -> Star | None:
    kept = recording.result
    try:
        recording.result = msgspec.structs.replace(kept, violations=(violation,))
        return star_of(recording)
    finally:
        recording.result = kept


def test_a_task_has_its_attempts_receipt_and_outcome(mesh: Recording) -> None:
    first, second = lines_of(mesh)
    assert [each.number for each in first.attempts] == [1, 2]
    assert first.accepted_ns is not None
    assert [each.code for each in first.outcomes] == [""]
    assert first.handed_ns[0] <= first.accepted_ns <= first.outcomes[0].at_ns
    assert all(each.from_ns <= each.until_ns for each in first.attempts)
    assert (second.accepted_ns, len(second.attempts)) == (None, 1)


def test_requests_of_bare_shards_are_lines_too(dead: Recording) -> None:
    lines = lines_of(dead)
    assert {line.lane for line in lines} == {3}
    assert {"", "gave up"} == {line.outcomes[0].code for line in lines}


def test_packets_are_read_with_the_codec_of_their_sender(
    gossip: Recording, mesh: Recording, dead: Recording
) -> None:
    texts = {
        recording: {said.reading.text for said in Story(recording, window(recording, 0)).packets}
        for recording in (gossip, mesh, dead)
    }
    assert any(text.startswith("dead n4 i") for text in texts[gossip])
    assert {"Answer call 0", "Answer call 1"} <= texts[mesh]
    assert any("Assign call 0 #2" in text for text in texts[mesh])
    assert any(text.startswith("Append s0 t") for text in texts[dead])


def test_routine_packets_are_left_out_first(gossip: Recording) -> None:
    whole = Story(gossip, default_window(gossip))
    telling = sum(not said.is_routine for said in whole.packets)
    some = Story(gossip, default_window(gossip), most_packets=telling)
    assert not any(said.is_routine for said in some.packets)
    assert some.left_out == some.routine_left_out == len(whole.packets) - telling
    assert {said.reading.family for said in whole.packets} & ROUTINE


def test_a_window_keeps_within_the_run(gossip: Recording) -> None:
    assert window(gossip, 1_000, 2_000) == (1_000 * MS, 2_000 * MS)
    assert window(gossip, None, 99_000).until_ns == gossip.end_ns
    assert window(gossip).from_ns == 500 * MS
    with pytest.raises(ValueError, match="this run goes from 0 to 6000 ms"):
        window(gossip, 7_000)


def test_only_the_window_is_shown(gossip: Recording) -> None:
    story = Story(gossip, window(gossip, 1_000, 1_200))
    assert story.packets
    assert all(1_000 * MS <= event.at_ns <= 1_200 * MS for event in story.events())
    for said in story.packets:
        assert said.copy.sent_ns <= 1_200 * MS
        assert (said.copy.arrived_ns or said.copy.sent_ns) >= 1_000 * MS
