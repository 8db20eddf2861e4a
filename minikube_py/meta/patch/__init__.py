"""The API's four patch types as pure functions: JSON patch, merge patch, strategic merge patch, apply."""
