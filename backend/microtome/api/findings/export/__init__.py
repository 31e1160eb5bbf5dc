"""Findings to take away: printed figures, a page without a server, a notebook, an RO-Crate; and the way back."""
