"""Finding a tape that breaks something: drawn tapes, sweeps."""
