"""hubless: a peer-to-peer mesh of agents with no orchestrator."""
