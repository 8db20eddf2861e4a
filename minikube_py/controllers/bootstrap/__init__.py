"""What the controllers of bootstrap tokens share."""
