"""The API's description, made from the handlers and what they answer: OpenAPI for programs, a page for people."""
