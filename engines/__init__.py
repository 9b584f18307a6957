"""Model manifests, one TOML file a model; read by `spoton_edge.models`."""
