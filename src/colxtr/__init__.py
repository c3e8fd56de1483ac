"""colxtr: late-interaction retrieval (ColBERTv2, XTR, ColXTR) over one small index."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before anything imports onnxruntime
