"""`clew doctor`: what is wrong with an instrumented service, or with a running clew, and the mend.

verdicts       what a check says, and how it is printed
connection     whether the receiver answers, takes the key, and has the same time
receiver       takes the service's telemetry, and hands it on
telemetry      what was received, in a form that checks read
service        starts the service for some seconds
service_checks the checks of a service, one row each; those of its spans are in span_checks
store          asks a running clew, and looks at its data directory
examination    the two examinations as a whole
"""
