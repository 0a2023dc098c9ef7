"""What commands show of chains and runs."""
