"""Keys and shards: what a mesh may keep where, and what it may not."""

from hubless_sim.checkers.keys import Kept, scattered

SOUND = (
    Kept(b"a", "red", 0),
    Kept(b"b", "red", 0),
    Kept(b"c", "blue", 1),
    Kept(b"d", "", 0),
    Kept(b"e", "", 1),
    Kept(b"e", "", 1),
)


def test_tasks_without_a_key_may_be_anywhere_and_others_are_with_their_key() -> None:
    assert list(scattered(SOUND)) == []


def test_a_task_in_another_shard_than_the_rest_of_its_key_is_found() -> None:
    for place in range(2):
        moved = [*SOUND[:place], SOUND[place]._replace(shard=1), *SOUND[place + 1 :]]
        (found,) = scattered(moved)
        assert (found.checker, "'red'" in found.text) == ("one shard a key", True)


def test_a_task_in_two_shards_is_found() -> None:
    for kept in (SOUND[3], SOUND[4]):
        (found,) = scattered([*SOUND, kept._replace(shard=7)])
        assert kept.task.hex() in found.text
    assert len(list(scattered([*SOUND, SOUND[0]._replace(shard=7)]))) == 2
