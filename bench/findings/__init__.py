"""What findings find, how often they are wrong, and what a run costs."""
