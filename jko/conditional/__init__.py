"""Rows of a law, given some of their columns."""
