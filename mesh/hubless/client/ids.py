"""Task ids that a client does not draw: derived from what names the task, or read from what a user typed."""

from __future__ import annotations

from hashlib import blake2b

from hubless.placement import mint_task_id, shard_of_key

_DIGEST_BYTES = 14
_ID_BYTES = 16


def derived_task_id(idempotency_key: str, key: str, shards: int) -> bytes:
    """The id of the task that an idempotency key names: the same for every client of a mesh with so many shards.

    The shard is that of `key`, the agent's key, if the task has one; else that of the idempotency key. So the same
    idempotency key names one task for each agent key, wherever those fall into different shards.
    """
    digest = blake2b(idempotency_key.encode(), digest_size=_DIGEST_BYTES).digest()
    return mint_task_id(shard_of_key(key or idempotency_key, shards), digest)


def checked_task_id(text: str) -> str:
    """The id as nodes write it.

    Raises:
        ValueError: it is not 32 hex digits.
    """
    plain = text.strip().lower()
    if len(plain) != 2 * _ID_BYTES or set(plain) - set("0123456789abcdef"):
        raise ValueError(f"task id is {text!r}; it has {2 * _ID_BYTES} hex digits, see `mesh tasks`")
    return plain
