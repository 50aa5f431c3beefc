"""Pictures of a run: a page, a timeline in text, and a log for ShiViz, all from one recording of it."""

from hubless_sim.report.page import html
from hubless_sim.report.recording import Recording, record
from hubless_sim.report.shiviz import shiviz
from hubless_sim.report.story import Window, window
from hubless_sim.report.text import text

__all__ = ["Recording", "Window", "html", "record", "shiviz", "text", "window"]
