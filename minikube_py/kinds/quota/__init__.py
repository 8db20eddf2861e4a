"""What objects use of a ResourceQuota: pure, and the same for admission, which charges, and for the controller,
which counts.
"""
