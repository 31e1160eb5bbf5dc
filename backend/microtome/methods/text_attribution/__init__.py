"""Which words did it look at?"""
