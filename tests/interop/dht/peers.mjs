// The bittorrent-dht side of the mixed bed, for bed.py: one node for each ADDR argument (":hex" after it: its id), a
// line a request on stdin, a line an answer on stdout, both JSON. BITTORRENT_DHT names the package's folder.
import crypto from 'node:crypto'
import readline from 'node:readline'

const { default: DHT } = await import(process.env.BITTORRENT_DHT + '/client.js')
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const bytes = hex => Buffer.from(hex, 'hex')

function verify (sig, message, k) {
  const key = crypto.createPublicKey({ key: Buffer.concat([SPKI, k]), format: 'der', type: 'spki' })
  return crypto.verify(null, message, key, sig)
}

function pair (seed) {
  const key = crypto.createPrivateKey({ key: Buffer.concat([PKCS8, bytes(seed)]), format: 'der', type: 'pkcs8' })
  const k = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { k, sign: message => crypto.sign(null, message, key) }
}

function open (arg) {
  const [host, id] = arg.split('/')
  const dht = new DHT({ bootstrap: false, verify, host, ...(id ? { nodeId: bytes(id) } : {}) })
  dht.on('error', () => {})
  dht.on('warning', () => {})
  dht.listen(6881, host)
  return dht
}

const nodes = process.argv.slice(2).map(open)
const say = o => process.stdout.write(JSON.stringify(o) + '\n')

function value (id, res) {
  if (!res) return say({ id, v: null })
  say({ id, v: Buffer.isBuffer(res.v) ? res.v.toString('hex') : null, json: Buffer.isBuffer(res.v) ? null : res.v, seq: res.seq ?? null })
}

function run (q) {
  const dht = nodes[q.node ?? 0]
  const id = q.id
  switch (q.op) {
    case 'join':
      for (const host of q.peers) for (const n of nodes) n.addNode({ host, port: 6881 })
      return say({ id })
    case 'populate':
      for (const n of nodes) if (!n.destroyed) n._rpc.populate(n.nodeId, { q: 'find_node', a: { id: n.nodeId, target: n.nodeId } }, () => {})
      return say({ id })
    case 'counts':
      return say({ id, counts: nodes.map(n => n.destroyed ? -1 : n.nodes.toArray().length) })
    case 'put': {
      const opts = { v: bytes(q.v) }
      if (q.seed) Object.assign(opts, pair(q.seed), { seq: q.seq })
      if (q.sig) Object.assign(opts, { k: bytes(q.k), sig: bytes(q.sig), seq: q.seq })
      if (q.salt) opts.salt = Buffer.from(q.salt)
      return dht.put(opts, (err, key, n) => say({ id, err: err ? String(err) : null, target: key && key.toString('hex'), stored: n, k: opts.k && opts.k.toString('hex') }))
    }
    case 'get':
      return dht.get(bytes(q.target), { salt: q.salt ? Buffer.from(q.salt) : undefined, cache: false }, (err, res) => value(id, err ? null : res))
    case 'announce':
      return dht.announce(bytes(q.hash), q.port, err => say({ id, err: err ? String(err) : null }))
    case 'peers': {
      const seen = new Set()
      const on = (peer, hash) => { if (hash.toString('hex') === q.hash) seen.add(peer.host + ':' + peer.port) }
      dht.on('peer', on)
      return dht.lookup(bytes(q.hash), () => { dht.off('peer', on); say({ id, peers: [...seen] }) })
    }
    case 'open':
      nodes.push(open(q.host + (q.node_id ? '/' + q.node_id : '')))
      return say({ id, node: nodes.length - 1 })
    case 'kill':
      return dht.destroy(() => say({ id }))
  }
}

readline.createInterface({ input: process.stdin }).on('line', line => run(JSON.parse(line))).on('close', () => process.exit(0))
