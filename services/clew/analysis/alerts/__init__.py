"""Alerts: rules that people write, and the states that they bring series into.

    states      the states of an alert, and what leads from one to the next
    windows     maintenance windows, in their time zones
    quantities  durations, shares and conditions as people write them
    rules       what a file of rules may say
    receivers   whom it can name

Times are seconds since 1970, of events: nothing here reads a clock. The functions have no memory
but what they are handed.
"""
