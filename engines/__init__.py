"""What touches an engine and is shared by the layers: small adapters round the field's own clients.

Each turns its client's failures into ``EngineUnavailable`` (worth a retry) or lets them through as errors of the query.
"""
