"""Links: latency, loss, duplication and cuts, each a function of (seed, link, n-th message)."""

from hubless_sim.world.network import Layer, Network

MS = 1_000_000


def routes(network: Network, source: int, target: int, count: int) -> list[tuple[int, ...]]:
    return [network.route(source, target) for _ in range(count)]


def test_latency_is_the_base_and_a_tail() -> None:
    network = Network(nodes=2, seed=1, base=Layer(base_ns=2 * MS, jitter_ns=MS))
    delays = [delay for (delay,) in routes(network, 0, 1, 2000)]
    assert min(delays) >= 2 * MS
    assert 2.9 * MS < sum(delays) / len(delays) < 3.1 * MS


def test_loss_takes_its_share() -> None:
    network = Network(nodes=2, seed=1, base=Layer(loss=0.2))
    lost = sum(not route for route in routes(network, 0, 1, 5000))
    assert 900 < lost < 1100


def test_duplicates_arrive_twice_with_delays_of_their_own() -> None:
    network = Network(nodes=2, seed=1, base=Layer(duplicate=0.3, jitter_ns=MS))
    twice = [route for route in routes(network, 0, 1, 5000) if len(route) == 2]
    assert 1350 < len(twice) < 1650
    assert sum(first != second for first, second in twice) > 0.95 * len(twice)


def test_a_layer_holds_on_its_direction_only() -> None:
    network = Network(nodes=3, seed=1)
    network.add(Layer(sources=frozenset({0}), targets=frozenset({1}), cut=True))
    assert not network.reaches(0, 1)
    assert network.reaches(1, 0)
    assert network.reaches(0, 2)


def test_removing_one_of_two_equal_cuts_leaves_the_other() -> None:
    network = Network(nodes=2, seed=1)
    first, second = Layer(cut=True), Layer(cut=True)
    network.add(first)
    network.add(second)
    network.remove(first)
    assert not network.reaches(0, 1)
    network.remove(second)
    assert network.reaches(0, 1)


def test_losses_combine_as_independent_chances() -> None:
    network = Network(nodes=2, seed=1, base=Layer(loss=0.5))
    network.add(Layer(loss=0.5))
    lost = sum(not route for route in routes(network, 0, 1, 4000))
    assert 2850 < lost < 3150


def test_the_fate_of_a_message_does_not_depend_on_other_links() -> None:
    quiet = Network(nodes=3, seed=9, base=Layer(loss=0.3, jitter_ns=MS))
    noisy = Network(nodes=3, seed=9, base=Layer(loss=0.3, jitter_ns=MS))
    fates = []
    for _ in range(200):
        noisy.route(0, 2)
        noisy.control_ns(0, 1, chance=7)
        fates.append(noisy.route(0, 1))
    assert fates == routes(quiet, 0, 1, 200)


def test_a_fault_that_is_lifted_leaves_later_messages_as_they_were() -> None:
    untouched = Network(nodes=2, seed=9, base=Layer(loss=0.3, jitter_ns=MS))
    cut = Layer(cut=True)
    network = Network(nodes=2, seed=9, base=Layer(loss=0.3, jitter_ns=MS))
    network.add(cut)
    assert routes(network, 0, 1, 50) == [()] * 50
    network.remove(cut)
    assert routes(network, 0, 1, 50) == routes(untouched, 0, 1, 100)[50:]


def test_a_node_always_reaches_itself() -> None:
    network = Network(nodes=1, seed=1, base=Layer(cut=True))
    assert network.reaches(0, 0)
    assert len(network.route(0, 0)) == 1


def test_another_seed_is_another_fate() -> None:
    fates = {tuple(routes(Network(nodes=2, seed=seed, base=Layer(loss=0.5)), 0, 1, 64)) for seed in range(8)}
    assert len(fates) == 8
