"""`twistd mesh`.

This module must import nothing of the mesh, and nothing that imports the reactor: twistd imports it to list its
commands, and ``twisted_mesh.server.tap`` installs the reactor when the command is really run.
"""

from twisted.application.service import ServiceMaker

mesh = ServiceMaker(
    "twisted_mesh",
    "twisted_mesh.server.tap",
    "A service mesh sidecar whose data plane is programmed in Python.",
    "mesh",
)
