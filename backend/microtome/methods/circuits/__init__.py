"""Which parts compute it?"""
