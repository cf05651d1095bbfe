"""What rules would have done in the last two weeks: the same conditions over stored rows, by the
minute, with arrays of all minutes in place of one minute's evidence.

past        the stored minutes, as arrays
tracks      whether a rule held for one series, and the episodes that follow
requests    thresholds, ratios, absences and error budgets
usual       baselines and regressions
metrics     metrics and their forecasts
replays     all rules of a document
"""
