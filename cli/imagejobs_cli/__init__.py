"""The command line of the Image Processing API: a client of its HTTP interface, and nothing of the service itself."""
