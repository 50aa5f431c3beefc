"""The agents of the task benchmark: both give back what they got."""

from hubless import agent


@agent
async def echo(text: str) -> str:
    return text


@agent
def echo_in_thread(text: str) -> str:
    return text
