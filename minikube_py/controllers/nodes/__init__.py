"""The node lifecycle controller's pure parts: how fast nodes of a zone may be given up."""
