"""The demo of many boxes: a real clip's two cameras on a box each, a simulated third box, the hub that joins them.

Everything is a process of its own, as on a real site: daemons, uplinks, the NATS servers that `spoton-edge site enroll`
configures, the site service and the live map. `machines` is where they run, `boxes` what each is told, `walkers` who is
on the simulated one, `story` what a subscriber of it all remembers, and `command` puts it together.
"""
