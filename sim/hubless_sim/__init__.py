"""hubless_sim."""
