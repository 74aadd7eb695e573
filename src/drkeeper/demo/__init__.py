"""`drkeeper demo`: a small ML platform, filled by the real SDKs, destroyed, brought back and compared.

The story is in `story`, what the two SDKs do is in `tracking` (MLflow) and `features` (Feast). Both SDKs take
seconds of CPU to import, so each lives in a sub-process of its own, see `worker`.
"""
