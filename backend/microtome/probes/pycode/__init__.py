"""pycode: Python source of the standard library at hand, with exact token masks."""
