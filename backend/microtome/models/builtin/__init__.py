"""Networks that ship with Microtome: builders here, weights in one folder per network."""
