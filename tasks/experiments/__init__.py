"""Experiments with a published counterpart: computed, stored, drawn."""
