"""The folder of a chain: how it is written, verified and read. Knows safetensors and JSON only."""
