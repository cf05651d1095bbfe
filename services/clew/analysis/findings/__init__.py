"""Findings: what is slow every day, found before anyone asks, ranked by what it costs.

rule       what a rule is: candidates from settled traces, confirmed on the spans of few of them
rules      the rules, one module each; the step knows none by name
trees      the spans of a trace as rules read them
shapes     statements and URLs without what differs between their calls
cost       what a finding costs, and whether it is worth opening
records    findings and their states as rows
failures   rules that do not run
step       the step over settled traces that runs them all
"""
