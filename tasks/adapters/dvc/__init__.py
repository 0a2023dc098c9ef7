"""Versions of data: the only user of DVC."""
