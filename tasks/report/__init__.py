"""Pictures and page; reads measures and evaluation, computes nothing."""
