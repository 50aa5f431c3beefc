"""An agent that moves money, which must not be moved twice. See test_payments.py."""

import asyncio

from hubless import Context, agent


class Bank:
    """Stands for the world outside, which remembers what it was told."""

    def __init__(self) -> None:
        self.payments: dict[str, int] = {}

    async def pay(self, reference: str, amount: int) -> None:
        await asyncio.sleep(0.5)
        self.payments.setdefault(reference, amount)


bank = Bank()


@agent(deadline_s=10, retries=5)
async def pay(order: str, amount: int, ctx: Context) -> str:
    """Runs again if its node dies, so the bank is told which task it is, and not which attempt."""
    await bank.pay(ctx.task, amount)
    ctx.log(f"{order}: {amount} paid")
    await asyncio.sleep(1)  # the mail with the receipt takes a while
    return f"{order} is paid"
