"""Blocks one after another: the flow, its samples and densities."""
