"""The training of blocks and chains."""
