"""What does a recurrent network keep?"""
