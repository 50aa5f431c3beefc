"""An agent around a language model.

mesh dev examples/llm_agent.py
mesh call answer '"What is a mesh?"'

It uses the `openai` library if that is installed and OPENAI_API_KEY is set (OPENAI_BASE_URL for any other server that
speaks the same protocol). Otherwise `answer` says what is missing, unless HUBLESS_STUB_MODEL=1 puts a stub in the
model's place, which needs no network: good for tests and for a first try.

What the mesh adds: the call has a deadline and is killed when it hangs; an answer that is not of the promised form is
rejected, and the model is asked again with what was wrong; a node that dies is replaced without the caller noticing.
"""

import os

from hubless import Context, agent

try:
    from openai import AsyncOpenAI
except ImportError:
    AsyncOpenAI = None

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


class NoModelError(RuntimeError):
    """There is no model to ask; the text says how to get one."""


async def ask_model(prompt: str) -> str:
    """One completion, from a real model or the stub."""
    if os.environ.get("HUBLESS_STUB_MODEL"):
        return f"(stub) You asked: {prompt.splitlines()[-1]}"
    if AsyncOpenAI is None:
        raise NoModelError(
            "the openai library is not installed: `pip install openai` and set OPENAI_API_KEY, "
            "or set HUBLESS_STUB_MODEL=1 to try it without a model"
        )
    if not os.environ.get("OPENAI_API_KEY"):
        raise NoModelError(
            "OPENAI_API_KEY is not set: set it, or HUBLESS_STUB_MODEL=1 to try it without a model"
        )
    async with AsyncOpenAI() as client:
        completion = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}]
        )
    return completion.choices[0].message.content or ""


@agent(deadline_s=60, retries=1, concurrency=8, on_breach={"schema": "retry"})
async def answer(question: str, ctx: Context) -> dict[str, str]:
    """Answers a question; eight of them at a time in one worker, since each mostly waits."""
    corrections = "".join(f"Your last answer was rejected: {failure.message}\n" for failure in ctx.failures)
    text = await ask_model(f"{corrections}Answer in one sentence.\n{question}")
    return {"question": question, "answer": text}
