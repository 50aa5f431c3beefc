"""What is written down of a run: one JSON document."""
