"""The predictions backend: services that take work on, are asked how far it is, and give addresses of what they made
(Replicate and whatever speaks its protocol). The models are many, and each names its inputs itself.

    service.py   the protocol: create, get, cancel, files; what goes wrong with it, in our codes
    inputs.py    from our typed inputs to what the model calls them
    outputs.py   from what the service gives to files, fetched with care
    lengths.py   how long a film is
    provider.py  one attempt: create or resume, wait, take
"""

from worker.ai.predictions.provider import PredictionsProvider

__all__ = ["PredictionsProvider"]
