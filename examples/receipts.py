"""Handing work in, going away, and coming back for it: the mesh keeps what it has given a receipt for.

mesh dev examples/receipts.py        in one terminal
python examples/receipts.py          in another
"""

import trio

import hubless
from hubless import Context, agent

ORDERS = ["order-17", "order-18", "order-19"]


@agent
def charge(order: str, ctx: Context) -> str:
    """Runs again if its node dies, so whoever takes the money should know the order by `ctx.task`."""
    ctx.log(f"charging {order}, attempt {ctx.attempt}")
    return f"{order} is paid"


async def hand_in(*addresses: str) -> list[str]:
    """Gives each order a name of its own. From a receipt on, its id is all that anybody needs."""
    async with hubless.connect(*addresses) as mesh:
        receipts = [await mesh.submit("charge", order, idempotency_key=order) for order in ORDERS]
        return [receipt.id for receipt in receipts]


async def collect(tasks: list[str], *addresses: str) -> list[str]:
    """Asks for the answers; another program could do so, through another node, in a while."""
    async with hubless.connect(*addresses) as mesh:
        return [await mesh.result(task, timeout=10) for task in tasks]


async def main(*addresses: str) -> list[str]:
    """Hands in twice, as after a crash in the middle: the same names are the same tasks, and nobody pays twice."""
    tasks = await hand_in(*addresses)
    if await hand_in(*addresses) != tasks:
        raise SystemExit("the same names gave other tasks")
    return await collect(tasks, *addresses)


if __name__ == "__main__":
    for line in trio.run(main, "127.0.0.1:7000"):
        print(line)
