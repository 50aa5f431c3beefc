"""Runs of the membership core alone."""
