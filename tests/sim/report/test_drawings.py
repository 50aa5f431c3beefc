"""The page, the timeline and the log for ShiViz hold together by themselves."""

import json
import re
from typing import Any

import pytest

from hubless_sim.faults import OneWay, RingPartition
from hubless_sim.report import Recording, html, record, shiviz, text, window
from hubless_sim.tapes.tape import Tape


@pytest.fixture(params=["gossip", "mesh", "dead"])
def recording(request: pytest.FixtureRequest) -> Recording:
    return request.getfixturevalue(request.param)


def story_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="story">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_a_page_needs_nothing_from_elsewhere(recording: Recording) -> None:
    page = html(recording)
    assert not re.search(r"""(src|href)=|@import|url\(|fetch\(|https?://""", page)
    assert page.count("<script") == 2
    assert not re.search(r"/\* \w+\.(js|css) \*/|\bSTORY\b|\bTITLE\b", page)


def test_a_page_has_all_columns_alike(recording: Recording) -> None:
    packets = story_of(html(recording))["packets"]
    lists = {name: column for name, column in packets.items() if name not in ("texts", "reasons")}
    assert len({len(column) for column in lists.values()}) == 1
    assert max(packets["text"]) < len(packets["texts"])
    assert max(packets["drop"]) < len(packets["reasons"])
    assert all(-1 <= cause < number for number, cause in enumerate(packets["causes"]))


def test_a_page_says_where_it_broke(dead: Recording, gossip: Recording) -> None:
    broken, well = story_of(html(dead)), story_of(html(gossip))
    assert broken["star"][2] == dead.result.violations[0].checker
    assert broken["run"]["isPast"]
    assert well["star"] is None
    assert well["run"]["verdict"] == "held"


def test_a_page_shows_cuts_with_both_sides(gossip: Recording) -> None:
    assert story_of(html(gossip))["cuts"] == [[3_000_000, 4_000_000, [0, 1], [2, 3, 4], "both"]]


@pytest.mark.parametrize("nodes", [("n0", "n1", "n2", "n3"), ("n2", "n1", "n4", "n0", "n3")])
def test_a_ring_partition_has_no_sides(nodes: tuple[str, ...]) -> None:
    faults = (
        RingPartition(at_ms=100, until_ms=200, nodes=nodes),
        OneWay(at_ms=300, until_ms=400, sources=("n1",), targets=("n0", "n2")),
    )
    page = html(record(Tape(seed=1, nodes=5, duration_ms=500, faults=faults)))
    ring = sorted(int(name[1:]) for name in nodes)
    assert story_of(page)["cuts"] == [
        [100_000, 200_000, ring, ring, "some"],
        [300_000, 400_000, [1], [0, 2], "one way"],
    ]


def test_text_of_a_tape_cannot_end_the_data(gossip: Recording) -> None:
    page = html(gossip)
    data = page.partition('id="story">')[2].partition("</script>")[0]
    assert "<" not in data


def test_a_timeline_has_faults_events_and_packets_in_order(gossip: Recording) -> None:
    lines = text(gossip, window(gossip, 900, 1_100)).splitlines()
    assert lines[0] == "held"
    assert any(line.endswith("== crash n4") for line in lines)
    assert any("n4 is gone" in line for line in lines)
    assert any(re.search(r"n\d --> n\d  .*dead n4", line) for line in lines)
    times = [float(line[:13].replace(" ", "")) for line in lines[4:] if line]
    assert times == sorted(times)
    assert 900 <= times[0] <= times[-1] <= 1_100


def test_a_timeline_keeps_within_its_lines(gossip: Recording) -> None:
    lines = text(gossip, most_lines=30).splitlines()
    assert len(lines) == 4 + 30 + 2
    assert "lines are left out" in lines[-1]


def test_a_timeline_marks_the_violation(dead: Recording) -> None:
    drawn = text(dead)
    assert drawn.startswith("violated: shards live: ")
    assert "** shards live on " in drawn


def test_the_log_for_shiviz_is_what_its_parser_reads(recording: Recording) -> None:
    parser, delimiter, *lines = shiviz(recording).splitlines()
    assert delimiter == ""
    read = list(re.compile(parser.replace("(?<", "(?P<")).finditer("\n".join(lines)))
    assert len(read) * 2 == len(lines) > 0
    times: dict[str, int] = {}
    for each in read:
        host, clock = each["host"], json.loads(each["clock"])
        times[host] = times.get(host, 0) + 1
        assert clock[host] == times[host]
        assert all(time <= times.get(other, 0) for other, time in clock.items())


def test_the_log_for_shiviz_knows_of_a_packet_after_it_was_sent(gossip: Recording) -> None:
    _, _, *lines = shiviz(gossip, window(gossip, 950, 1_050)).splitlines()
    seen = 0
    for event, where in zip(lines[::2], lines[1::2], strict=True):
        if found := re.search(r" from (n\d+)$", event):
            seen += 1
            assert found[1] in json.loads(where.partition(" ")[2])
    assert seen
