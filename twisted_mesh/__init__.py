"""A multi-protocol service mesh on Twisted whose data plane is programmed in Python.

Start reading at `twisted_mesh.interfaces`, then `twisted_mesh.call` and `twisted_mesh.chain`.
"""

__version__ = "0.1.0"
