"""`make bench`: how fast the product is, each path beside a bare baseline in the same run.

`house.py` has the servers and processes, `load.py` the load, `bare.py` the baselines, `stock.py` what the databases
start with, `report.py` the table; the other modules are one benchmark each.
"""
