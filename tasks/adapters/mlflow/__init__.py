"""Tracked runs: the only users of MLflow."""
