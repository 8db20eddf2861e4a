"""Volumes: how each kind of volume becomes a directory or file that containers mount.

A kind of volume is one file with one `VolumeKind` subclass; it is found by its presence. `pod_volumes.py` in
the folder above brings them together for a pod.
"""
