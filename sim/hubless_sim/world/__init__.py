"""Processes on nodes, a network between them and disks below them, under a virtual clock."""
