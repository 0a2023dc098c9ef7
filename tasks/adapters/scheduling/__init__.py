"""Servers, workers and schedules, and who watches them."""
