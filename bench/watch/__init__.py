"""How well clew's detectors find what they should: a synthetic suite, NAB and TCPD."""
