"""The services behind the gateway: which there are, how they are, and which instance a call gets.

`definition`, `yaml_reader` and `services_file` say which services there are; `health`, `balancing`,
`retries`, `instances` and `registry` decide about calls, and are pure.
"""

__all__: list[str] = []
