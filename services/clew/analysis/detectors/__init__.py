"""Detectors: what is unlike a series' own past, as functions over arrays.

    findings      what a detector says: value, expected, band, z, window, how rare
    counts        how unlikely a count is, when the rate itself varies
    windows       sums over windows that end at the same times
    spikes        each minute: failed and slow requests, traffic
    regressions   each hour: shifts of p50, p75, p95 and the tail, and those after a deployment
    versions      two versions that serve at the same time
    forecasts     the next day, and when a limit is reached
    changes       change points of a whole series
    anomalies     any metric of which nothing is known

Arrays are [series, times, …], oldest time first, nan or 0 requests where nothing is known. Nothing
here reads a clock, rows or settings. Each series is judged by itself: who else is in the arrays
changes nothing.
"""
