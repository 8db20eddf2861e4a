"""The CronJob controller's pure parts: when a Job is due, what it looks like, which old ones go."""
