"""SqliteStore: the durable store, in one SQLite file. The only door to SQLite.

`database` speaks SQL and judges whether a file can be trusted; `store` keeps the state in memory and groups
commits.
"""

from minikube_py.store.sqlite.database import Durability as Durability
from minikube_py.store.sqlite.store import SqliteStore as SqliteStore
