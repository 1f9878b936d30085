"""What runs: thin Celery tasks. Ids in; a short transaction, the network, a short transaction.

Every task can be delivered twice or late: it finds the state in the database and stops when there is nothing to do.
"""
