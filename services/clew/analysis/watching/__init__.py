"""Watching: series of what is stored, by the minute and by the hour, and the rules that judge them.

series      which series there are, and their numbers as arrays
watcher     the thread that judges every minute
learner     what tests need at hand: the last minutes, the hours, what is usual
learned     what is usual of the watched series
recent      the minutes of the last day, in memory
minutes     the tests of a minute over all series
shifts      the regressions of an hour
standing    the rules that nobody wrote
progress    how far it has come, and that it is the only one
evidence    what a minute is judged by
judges/     one for each kind of rule
telling     whom to tell what: routes, silences, the alert that stands for others
texts       values and series as people read them
"""
