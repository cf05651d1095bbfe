"""What limits a service: how much of each resource its processes, containers and hosts use, how
that follows the load, and what would be full first. No function has a clock or reads rows.

points        values of metrics by source and slot
constraints   the resources, and how full each is
limits        bottlenecks, leaks and usages
"""
