"""The Pod Security Standards as of v1.34: `policy` reads what a namespace asks for, `standards` judges pods.

Checks are pure functions of a pod (or pod template), in tables by level; a new check is an entry of a table.
Words of reasons and details are those that clients are shown by Kubernetes.
"""
