"""Chains on disk: rows in Zarr, plans, and blocks that move."""
