"""The kubelet: the agent that runs this node's pods in a container runtime and reports on them.

`Kubelet` (agent.py) is the service. Decisions (plan.py, status.py, environment.py, sandbox.py, containers.py)
are pure; the effects are in worker.py and below. It sees the API through `client` and the containers through
`runtime`, never the store.
"""
