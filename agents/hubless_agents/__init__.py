"""hubless_agents."""
