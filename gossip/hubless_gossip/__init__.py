"""hubless_gossip."""
