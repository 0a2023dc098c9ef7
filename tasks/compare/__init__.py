"""Chains and tracked runs side by side: what is read of them, tables, pictures, page, gate."""
