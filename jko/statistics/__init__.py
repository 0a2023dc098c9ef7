"""Statistics of samples: robust means, tests, distances."""
