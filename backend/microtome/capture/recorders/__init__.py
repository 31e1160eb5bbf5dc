"""Recorders: small mergeable accumulators over the activations of one layer.

Each takes batches of float32 [B, units, height, width] with their labels. :class:`.look.Look` is fed while the network runs; the
others come after it, from the activations that were kept.
"""
