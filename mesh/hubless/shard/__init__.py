"""What a mesh keeps: every shard a small replicated log, many of them in one node."""
