"""The live map: subscribes to a daemon like anyone else, and shows it in a browser.

command.py   what `spoton-edge view` was told, put together
hub.py       hears the daemon and keeps what a page that opens has to know
viewer.py    one open page: a mailbox in which the newest wins, and the websocket that empties it
"""
