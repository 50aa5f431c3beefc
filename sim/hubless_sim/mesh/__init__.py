"""Runs of whole nodes, with scripted workers and clients."""
