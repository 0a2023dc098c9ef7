"""Flow runs as Prefect shows them."""
