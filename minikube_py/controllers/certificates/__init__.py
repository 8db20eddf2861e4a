"""What the certificate controllers know: what each signer signs (pure), and how."""
