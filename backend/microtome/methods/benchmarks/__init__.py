"""How good is an attribution method? Benchmarks over a probe set, as runs of their own."""
