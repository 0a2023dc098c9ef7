"""Sweeps over settings: their plan, their cells, their tables."""
