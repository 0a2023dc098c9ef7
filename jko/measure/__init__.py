"""What is measured of a block."""
