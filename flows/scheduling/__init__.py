"""Scheduled runs: what they know and what has drifted."""
