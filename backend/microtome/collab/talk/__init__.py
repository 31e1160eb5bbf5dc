"""What people say to each other about things: comments in threads, mentions, votes, notifications."""
