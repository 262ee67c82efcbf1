"""The use cases, one module a step of the flow, each called by the function of the same name."""
