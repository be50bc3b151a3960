"""Trained networks as files for other programs, and how far each computes what the network does."""
