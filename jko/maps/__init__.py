"""Invertible maps with their log-determinants: blocks, and the start map before them."""
