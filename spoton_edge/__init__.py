"""SpotOn Edge: people on several cameras, followed as one, in metres, over ZeroMQ.

This package imports nothing by itself, so that `spoton_edge.client` needs no more than pyzmq.
"""

__version__ = "0.1.0"
