"""From a configuration to a running node: identity, sockets, the first contact, then the loop."""

from __future__ import annotations

import gc
import random
import resource
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
import zmq

from hubless.config import ConfigError, NodeConfig, format_address
from hubless.datadir import DataDirectory, new_node_id
from hubless.driver.allocator import give_back
from hubless.driver.joining import JoinError, gossip_address, welcomed
from hubless.driver.log import LogLine
from hubless.driver.loop import Driver, Sockets
from hubless.journal import Journal, MemoryJournal
from hubless.meta import Meta
from hubless.node import LeaveMesh, Node
from hubless.shard.records import Recovered
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.station import Station
from hubless.transport import Heartbeat, Inbound, Outbound
from hubless.wire import Outbox, Welcome, limits_for
from hubless_agents import Pool, Supervisor, SupervisorConfig
from hubless_gossip import Address, Gossip, GossipConfig, Identity, JoinRequested, Remembered

_GOSSIP_FRAME_BYTES = 128 * 1024
_RECOVERED_S = 5.0
_WORK_QUEUE = 10_000
_GOSSIP_QUEUE = 64
_MOST_SOCKETS = 4096
_PEER_CONNECTIONS = 1024
_GOSSIP_CONNECTIONS = 128
_DESCRIPTORS_FOR_THE_REST = 256
_GOSSIP_PROFILES = {"local": GossipConfig.local, "lan": GossipConfig.lan, "wan": GossipConfig.wan}


@dataclass(frozen=True, slots=True)
class _Papers:
    """Who a node is, and of what mesh. `is_founder`: of one that it founds (genesis)."""

    identity: Identity
    shards: int
    is_founder: bool
    since_ms: int


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a node starts from."""

    papers: _Papers
    recovered: Sequence[Recovered]
    remembered: Remembered


@dataclass(frozen=True, slots=True)
class Ready:
    """A node that serves. `mesh` is hexadecimal; addresses are "host:port"."""

    node: str
    name: str
    boot: int
    mesh: str
    work: str
    gossip: str
    agents: tuple[str, ...]


async def serve(
    config: NodeConfig, *, ready: Callable[[Ready], None], log: Callable[[LogLine], None]
) -> None:
    """Runs a node until it has left: because of SIGINT, SIGTERM, `mesh leave`, or a problem. Under trio.

    Args:
        ready: called once, when the node is in the mesh and its agents are on offer.
        log: called with every line that people should see.

    Raises:
        ConfigError: the configuration cannot work, before anything was started.
        BindError: an address cannot be listened on.
        JoinError: the mesh to join refused, or is another one than the data directory's.
    """
    with ExitStack() as stack:
        directory = _opened(config, stack)
        context = stack.enter_context(zmq.Context(io_threads=1))
        context.set(zmq.MAX_SOCKETS, _MOST_SOCKETS)
        sockets = _bound(config, context)
        stack.callback(sockets.close)
        log(LogLine("node", "info", _listening_text(sockets)))
        welcome = await _first_contact(config, directory, context, log)
        papers = _identify(config, directory, welcome, sockets.gossip.address)
        identity = papers.identity
        journal = _journal(directory, identity)
        stack.callback(journal.close)
        pool = None
        if config.target is not None:
            pool = Pool(
                config.target,
                node=identity.node,
                max_payload_bytes=config.payload_bytes,
                on_log=_worker_log(log),
            )
            stack.callback(pool.close)
        node = _node(  # nobody but the node holds on to what was recovered: it would stay for life
            config,
            _Origin(papers, journal.recovered(), _remembered(directory, log)),
            sockets,
        )
        async with trio.open_nursery() as nursery:
            driver = Driver(
                node,
                sockets=sockets,
                context=context,
                outboxes=(_outbox(config, identity), _outbox(config, identity)),
                heartbeat=Heartbeat.of_profile(config.profile),
                pool=pool,
                directory=directory,
                journal=journal,
                nursery=nursery,
                ready=lambda agents: ready(_ready(config, identity, sockets.work.address, agents)),
                log=log,
            )
            nursery.start_soon(_leave_on_signals, driver)
            nursery.start_soon(_forget_the_recovery)
            if config.join:
                again = partial(welcomed, context, config.join, mesh=identity.mesh, log=log)
                nursery.start_soon(_join, driver, welcome, again)
            _collect_rarely()
            halt = await driver.run()
            nursery.cancel_scope.cancel()
    if halt.problem:
        raise ConfigError(halt.problem)


# -- identity -------------------------------------------------------------------------------------------


def _opened(config: NodeConfig, stack: ExitStack) -> DataDirectory | None:
    if config.data is None:
        return None
    directory = DataDirectory(config.data)
    stack.callback(directory.close)
    return directory


async def _first_contact(
    config: NodeConfig,
    directory: DataDirectory | None,
    context: zmq.Context[zmq.Socket[bytes]],
    log: Callable[[LogLine], None],
) -> Welcome | None:
    """A new node learns its mesh from the nodes it joins; one that has a mesh already need not wait for them."""
    if not config.join or (directory is not None and directory.formatted is not None):
        return None
    return await welcomed(context, config.join, mesh=b"", log=log)


def _identify(
    config: NodeConfig, directory: DataDirectory | None, welcome: Welcome | None, gossip: Address
) -> _Papers:
    """Who this node is: resumed from its directory, welcomed by a mesh, or founding one."""
    known = directory.formatted if directory is not None else None
    if known is not None:
        mesh, shards = bytes.fromhex(known.mesh), known.shards
    elif welcome is not None:
        mesh, shards = welcome.mesh, welcome.shards
    else:
        mesh, shards = secrets.token_bytes(8), config.shards
    is_founder = known is None and welcome is None
    now_ms = time.time_ns() // 1_000_000
    if directory is None:
        return _Papers(
            Identity(mesh=mesh, node=new_node_id(), boot=1, address=gossip), shards, is_founder, now_ms
        )
    booted = directory.boot(mesh=mesh, shards=shards, now_ms=now_ms, founding=is_founder)
    identity = Identity(mesh=mesh, node=booted.node, boot=booted.boot, address=gossip)
    return _Papers(identity, shards, booted.founding, booted.since_ms)


def _journal(directory: DataDirectory | None, identity: Identity) -> Journal | MemoryJournal:
    if directory is None:
        return MemoryJournal()
    return Journal(directory.journal_path, mesh=identity.mesh, node=identity.node)


# -- parts ----------------------------------------------------------------------------------------------


def _bound(config: NodeConfig, context: zmq.Context[zmq.Socket[bytes]]) -> Sockets:
    frame_bytes = limits_for(config.payload_bytes).frame_bytes
    peers, gossipers = _connections()
    work = Inbound(context, zmq.ROUTER, config.listen, frame_bytes=frame_bytes)
    try:
        gossip = Inbound(context, zmq.PULL, _gossip_address(config), frame_bytes=_GOSSIP_FRAME_BYTES)
    except OSError:
        work.close()
        raise
    return Sockets(
        work=work,
        gossip=gossip,
        work_peers=Outbound(context, zmq.DEALER, queue=_WORK_QUEUE, connections=peers),
        gossip_peers=Outbound(context, zmq.PUSH, queue=_GOSSIP_QUEUE, connections=gossipers),
    )


def _connections() -> tuple[int, int]:
    """How many connections to keep to work and to gossip sockets; a connection takes about two descriptors."""
    descriptors, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        descriptors = most
    spare = max(16, (descriptors - _DESCRIPTORS_FOR_THE_REST) // 2)
    return min(_PEER_CONNECTIONS, spare * 3 // 4), min(_GOSSIP_CONNECTIONS, spare // 4)


def _listening_text(sockets: Sockets) -> str:
    return f"listening on {format_address(sockets.work.address)}, gossip on {format_address(sockets.gossip.address)}"


def _gossip_address(config: NodeConfig) -> Address:
    if config.gossip is not None:
        return config.gossip
    port = config.listen.port
    return Address(config.listen.host, port + 1 if 0 < port < 65535 else 0)


def _outbox(config: NodeConfig, identity: Identity) -> Outbox[Any]:
    return Outbox(
        mesh=identity.mesh, sender=identity.node, boot=identity.boot, limits=limits_for(config.payload_bytes)
    )


def _node(config: NodeConfig, origin: _Origin, sockets: Sockets) -> Node:
    """The core, with its chance drawn once and forked by purpose."""
    papers, remembered = origin.papers, origin.remembered
    identity = papers.identity
    now_ns = time.monotonic_ns()
    seed = secrets.randbits(64)
    gossip = Gossip(
        identity,
        config=_GOSSIP_PROFILES[config.profile](),
        rng=random.Random(f"{seed}:gossip"),
        now_ns=now_ns,
        incarnation=remembered.incarnation,
        peers=remembered.peers,
    )
    supervisor = None
    if config.target is not None:
        supervisor = Supervisor(
            config=SupervisorConfig(
                workers=config.workers,
                spares=config.spares,
                queue_per_agent=config.queue,
                max_payload_bytes=config.payload_bytes,
            ),
            node=identity.node,
            rng=random.Random(f"{seed}:supervisor"),
            now_ns=now_ns,
        )
    station = Station(
        identity=identity,
        meta=Meta(
            config.name, sockets.work.address, config.zone, config.weight, (), since_ms=papers.since_ms
        ),
        shards=papers.shards,
        limits=limits_for(config.payload_bytes),
        workers=config.workers,
        joins=bool(config.join),
        epoch_ns=time.time_ns() - now_ns,
    )
    replicas = Replicas(
        identity.node,
        papers.shards,
        settings=ReplicasSettings.of(config.profile),
        rng=random.Random(f"{seed}:replicas"),
        now_ns=now_ns,
        recovered=origin.recovered,
        is_founder=papers.is_founder,
    )
    return Node(
        station,
        gossip=gossip,
        replicas=replicas,
        supervisor=supervisor,
        rng=random.Random(f"{seed}:node"),
        shell_counters=lambda: {"transport": sockets.counters()},
    )


def _ready(config: NodeConfig, identity: Identity, work: Address, agents: tuple[str, ...]) -> Ready:
    return Ready(
        node=identity.node,
        name=config.name,
        boot=identity.boot,
        mesh=identity.mesh.hex(),
        work=format_address(work),
        gossip=format_address(identity.address),
        agents=agents,
    )


def _remembered(directory: DataDirectory | None, log: Callable[[LogLine], None]) -> Remembered:
    raw = directory.remembered() if directory is not None else None
    if raw is None:
        return Remembered(0)
    try:
        return Remembered.from_bytes(raw)
    except ValueError as problem:
        log(LogLine("node", "warning", f"the remembered peers cannot be read and are forgotten: {problem}"))
        return Remembered(0)


def _worker_log(log: Callable[[LogLine], None]) -> Callable[[int, str, str], None]:
    def on_log(worker: int, stream: str, line: str) -> None:
        log(LogLine(f"worker {worker}", "info" if stream == "stdout" else "warning", line))

    return on_log


def _collect_rarely() -> None:
    """The cycle collector looks at every row that is kept and finds next to nothing: one call in a hundred was slow."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# -- tasks beside the loop ------------------------------------------------------------------------------


async def _leave_on_signals(driver: Driver) -> None:
    """The first SIGINT or SIGTERM asks for an orderly departure, a second one does not wait for it."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            driver.put(LeaveMesh())
            break
        async for _ in signals:
            driver.stop("")


async def _forget_the_recovery() -> None:
    """A start reads all snapshots and logs, and needs little of that for long: a fifth of the node, kept for life."""
    await trio.sleep(_RECOVERED_S)
    give_back()


async def _join(driver: Driver, welcome: Welcome | None, ask: Callable[[], Awaitable[Welcome]]) -> None:
    """Finds the gossip address of a node to join; from there gossip goes on by itself."""
    try:
        driver.put(JoinRequested((gossip_address(welcome or await ask()),)))
    except JoinError as problem:
        driver.stop(str(problem))
