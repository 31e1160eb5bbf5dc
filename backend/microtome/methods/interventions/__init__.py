"""What if this changes?"""
