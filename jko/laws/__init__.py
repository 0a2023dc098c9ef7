"""Laws with known densities, by which chains are made and tested."""
