"""Prints everybody on the site, message by message: python subscriber.py [ENDPOINT]"""

import sys

from spoton_edge.client import Subscriber

with Subscriber(sys.argv[1] if sys.argv[1:] else "tcp://127.0.0.1:5591", kinds=["tracks"]) as subscriber:
    for message in subscriber:
        for person in message.tracks if message.kind == "tracks" else ():
            place = "- -" if person.x is None else f"{person.x:.3f} {person.y:.3f}"
            print(message.seq, person.id, place, person.state, flush=True)
