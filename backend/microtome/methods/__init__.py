"""One file per method, in a folder per question (DESIGN section 5)."""
