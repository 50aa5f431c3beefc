"""What pytest gets from an installed hubless: the fixture ``simulated_mesh``, and options for its seed.

It is loaded in every test run of the environment, so it imports the rest when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hubless_sim.testing.mesh import SimulatedMesh

_FIXTURE = "simulated_mesh"
_OPEN: pytest.StashKey[list[SimulatedMesh]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the seed."""
    group = parser.getgroup("hubless", "simulated meshes")
    group.addoption(
        "--mesh-seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of simulated meshes (default: 1); the same seed is the same run",
    )
    group.addoption(
        "--mesh-seeds",
        type=int,
        default=1,
        metavar="COUNT",
        help="run each test of a simulated mesh with so many seeds, from --mesh-seed on",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each seed."""
    count = metafunc.config.getoption("--mesh-seeds")
    if count > 1 and _FIXTURE in metafunc.fixturenames:
        first = metafunc.config.getoption("--mesh-seed")
        metafunc.parametrize(
            _FIXTURE, range(first, first + count), indirect=True, ids=lambda seed: f"seed-{seed}"
        )


@pytest.fixture
def simulated_mesh(request: pytest.FixtureRequest) -> Callable[..., SimulatedMesh]:
    """Starts a simulated mesh: ``mesh = simulated_mesh("agents.py", nodes=5)``; arguments are SimulatedMesh's.

    It is checked at the end of the test, which fails if the mesh has not kept what it promises.
    """
    from hubless_sim.testing.mesh import SimulatedMesh  # noqa: PLC0415 only for tests that ask for it

    seed = getattr(request, "param", request.config.getoption("--mesh-seed"))
    opened: list[SimulatedMesh] = request.node.stash.setdefault(_OPEN, [])

    def start(agents: Any, **options: Any) -> SimulatedMesh:
        mesh = SimulatedMesh(agents, **{"seed": seed, **options})
        opened.append(mesh.__enter__())
        return mesh

    return start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """What a mesh broke is a failure of its test, and not of the tidying up after it."""
    try:
        result = yield
    except BaseException as problem:
        _close(item, problem)
        raise
    _close(item, None)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Meshes of tests whose setup failed are left then."""
    try:
        return (yield)
    finally:
        _close(item, RuntimeError("the test did not run"))


def _close(item: pytest.Item, problem: BaseException | None) -> None:
    """Leave all meshes of a test, last one first; what the first of them raises is raised once all are left."""
    opened = item.stash.get(_OPEN, [])
    found: list[BaseException] = []
    while opened:
        mesh = opened.pop()
        kind = None if problem is None else type(problem)
        try:
            mesh.__exit__(kind, problem, None)
        except BaseException as broken:  # noqa: BLE001 it is raised below
            found.append(broken)
    if found:
        raise found[0]
