// A gRPC server by hand on Node's http2: echoes a unary message. node net_node_server.js CERT KEY
// TLS ends in front of http2, because Node itself refuses a client without ALPN.
const fs = require('fs')
const http2 = require('http2')
const tls = require('tls')
const [cert, key] = process.argv.slice(2)
const server = http2.createServer()
server.on('stream', stream => {
  const parts = []
  stream.on('data', part => parts.push(part))
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.concat(parts))
  })
})
const options = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), ALPNProtocols: ['h2'] }
const front = tls.createServer(options, socket => {
  socket.alpnProtocol ||= 'h2'
  server.emit('connection', socket)
})
front.on('tlsClientError', () => {})
front.listen(0, '127.0.0.1', () => console.log(front.address().port))
