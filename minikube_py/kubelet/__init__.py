"""The kubelet: the agent that runs this node's pods in a container runtime and reports on them.

`Kubelet` (agent.py) is the service, with a worker (worker.py) for each pod. Decisions (plan.py, status.py, and
most of kuberuntime/, cm/ and admission/) are pure; the effects are in the worker and below. It sees the API
through `client` and the containers through `runtime`, never the store.
"""
