"""Does it know X?"""
