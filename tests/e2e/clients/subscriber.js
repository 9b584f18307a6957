// Prints everybody on the site, message by message: npm install zeromq; node subscriber.js [ENDPOINT]
const zmq = require("zeromq")

async function main() {
  const socket = new zmq.Subscriber()
  socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5591")
  socket.subscribe("spoton/1/")
  for await (const [topic, payload] of socket) {
    const message = JSON.parse(payload)
    for (const person of message.kind === "tracks" ? message.tracks : []) {
      const place = person.x === null ? "- -" : `${person.x.toFixed(3)} ${person.y.toFixed(3)}`
      console.log(message.seq, person.id, place, person.state)
    }
  }
}

main()
