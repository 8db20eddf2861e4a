"""What ValidatingAdmissionPolicy is made of: policies and bindings made ready, parameters, verdicts.

Writes cost nothing here while there is no binding. Source: "Validating Admission Policy".
"""
