"""Property tests draw the same examples each time; `--hypothesis-profile=explore` draws new ones, and more.

None has a deadline of its own: how fast the machine is says nothing."""

from hypothesis import settings

settings.register_profile("standing", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1_000, deadline=None)
settings.load_profile("standing")
