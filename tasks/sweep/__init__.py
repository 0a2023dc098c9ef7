"""Sweeps: many chains whose settings differ, planned together, trained, compared."""
