"""Rows of an unconditional law, given some of their columns."""
