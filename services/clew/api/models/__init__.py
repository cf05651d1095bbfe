"""Models of the responses of /api/v1, for the OpenAPI document (see clew.api.reference), by what
they are about.

Every member has a description: its docstring, or that of its type.
"""
