"""What does a unit detect?"""
