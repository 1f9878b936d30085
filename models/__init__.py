"""What is true: one module per noun, with its tables and the verbs that may change them.

Verbs take a `Session` first and never commit; the edge (a view, a task, a command) owns the one transaction.
"""
