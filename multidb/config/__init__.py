"""databases.yaml, the variables that override it, settings and URLs, as records.

It imports only the modules beside the rooms.
"""
