"""What is it about to say?"""
