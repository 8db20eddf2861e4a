"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: admission by webhooks that clients configure.

Writes cost nothing here while there is no configuration. Source: "Dynamic Admission Control".
"""
