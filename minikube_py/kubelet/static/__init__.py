"""Static pods: run from the files of a folder, shown by mirrors in the API."""
