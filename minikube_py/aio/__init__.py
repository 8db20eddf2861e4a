"""asyncio building blocks below every room: clock, tasks, services, work queue, broadcast, process.

No Kubernetes term is known here. The only place where tasks and subprocesses are made.
"""
