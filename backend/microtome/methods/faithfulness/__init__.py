"""Is the explanation true?"""
