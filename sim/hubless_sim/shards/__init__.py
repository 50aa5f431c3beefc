"""Runs of the replicas of shards alone, with registers for tasks."""
