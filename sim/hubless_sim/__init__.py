"""A virtual world that breaks a mesh on purpose; see sim/README.md."""
