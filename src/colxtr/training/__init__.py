"""Training: from raw text to a model. The only room that needs torch (`pip install colxtr[train]`).

    collection -> mine -> score -> train -> refresh -> (train ...) -> export

Each stage reads and writes plain files (`sets.py`), so that any of them can be another tool's.
Importing this package does not import torch; its modules do where they compute.
"""
