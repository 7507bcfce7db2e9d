"""The tables of the ten services, a module and a MetaData per database.

The services import these to work with; migrations compare them with the databases. No foreign key crosses a
database: a column that refers to another service's row holds its value only, and a comment says whose it is.
"""
