"""What tests of several packages share: servers, clients, browsers, networks, and their files.

Fixtures that hand these out are in the `conftest.py` of the packages that use them. Nothing here is
a test, and nothing here imports one.
"""
