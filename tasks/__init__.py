"""Prefect tasks, data sets, and one adapter for each outside system."""
