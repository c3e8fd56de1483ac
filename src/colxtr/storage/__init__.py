"""What lies on the disk: files, arrays, manifests, segments (docs/index-format.md).

Knows nothing of text, encoders or search methods.
"""
