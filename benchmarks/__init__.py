"""The chain beside other density models: the same rows, the same CPU seconds, one table."""
