"""JKO flows: normalizing flows trained block by block as steps of a Wasserstein gradient flow."""
