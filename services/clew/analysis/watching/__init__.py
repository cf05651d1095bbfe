"""Watching: series of what is stored, by the minute and by the hour, and the rules that judge them.

series      which series there are, and their numbers as arrays
watcher     the thread that judges every minute
progress    how far it has come, and that it is the only one
evidence    what a minute is judged by
judges/     one for each kind of rule
telling     whom to tell what: routes, silences, the alert that stands for others
texts       values and series as people read them
"""
