"""What the status of ValidatingAdmissionPolicies is worked out from."""
