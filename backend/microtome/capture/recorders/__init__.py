"""Recorders: small mergeable accumulators, one file each.

A recorder has ``update(batch)``, ``merge(other)`` and ``finish()``. Because it merges, the same code runs on one device, on
several, and on a cluster. Stage one recorders see activations as they come out of the network; stage two recorders need
finished thresholds and read the spool.
"""
