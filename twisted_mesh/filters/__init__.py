"""The filters that are built in, and those of users.

Every directory ``twisted_mesh/filters`` on ``sys.path`` belongs to this package, so that a new filter is one file.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
