"""Watching: series of what is stored, by the minute and by the hour, which detectors judge.

series      which series there are, and their numbers as arrays
"""
