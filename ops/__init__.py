"""Running it on one machine: the environment, the processes of `make up`, and the demonstration."""
