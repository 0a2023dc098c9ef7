"""Processes, terminals, the environment."""
