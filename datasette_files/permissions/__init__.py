"""Permissions. Every action is denied until a rule allows it.

actions.py has the actions and their resources, rules.py the rules that the yaml and ownership give,
grants.py the decisions about an actor, tables.py the permissions of Datasette on tables.
"""
