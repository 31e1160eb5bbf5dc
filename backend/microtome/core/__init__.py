"""The vocabulary: addresses, content keys, selections, view state, errors, settings. Imports no other room."""
