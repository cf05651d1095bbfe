"""Alerts: rules that people write, and the states that they bring series into.

    states      the states of an alert, and what leads from one to the next
    windows     maintenance windows, in their time zones
    quantities  durations, shares and conditions as people write them
    rules       what a file of rules may say
    receivers   whom it can name
    notifications  what people are told of an alert
    rulebook    the rules in force, of a file and of the API
    outbox      what is to be told to whom, stored before it is sent

Times are seconds since 1970, of events: nothing here reads a clock. The functions have no memory
but what they are handed.
"""
