"""Many boxes, one site: the uplink of a box, and the service that says who on one box is whom on another.

NATS JetStream carries, stores and replicates; nothing here does. `messages` is what travels, `streams` where it is
kept, `uplink` and `service` are the two programs, `identity` is what the service knows, without any network.
"""
