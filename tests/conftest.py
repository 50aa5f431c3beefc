"""Property tests draw the same examples each time; `--hypothesis-profile=explore` draws new ones, and more."""

from hypothesis import settings

settings.register_profile("standing", derandomize=True)
settings.register_profile("explore", max_examples=1_000)
settings.load_profile("standing")
