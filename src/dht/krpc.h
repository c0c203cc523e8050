/* dht/krpc.h - one KRPC message: bytes <-> struct krpc_msg (BEP 5, 32, 42, 43, 44; zones: THREATS.md §4.13).
 *
 * Top level, keys in the order they stand in the packet. "all" means every message of a zone.
 *
 *   key  type     in          notes
 *   a    dict     query       arguments, below
 *   c    8        zone query  cookie of the receiver, given in an error 210
 *                 error 210   the cookie to use, bound to the asker's address and port, good for 2..4 min
 *   e    list     error       code, text
 *   ip   6, 18    answer      the asker's address as seen (BEP 42), port big-endian
 *   k    32       all         N of the sender
 *   m    68       all of a    member certificate of k (crypto/zone.h): until_day 4, big-endian, sig 64. In an open
 *                 closed zone zone it is ignored
 *   mac  16       zone        THREATS.md §4.13, when both sides have seen a signed message of the other
 *   p    8        all         puzzle nonce of the sender: id = last 20 bytes of H(64; ... N, nonce)
 *   q    text     query       method
 *   r    dict     answer      results, below
 *   ro   int 1    query       BEP 43: do not keep me, do not ask me
 *   sig  64       zone        instead of mac; "itodenwa-krpc-v1" NUL || zone id 8 || receiver id 20 || message
 *   t    1..16    all         transaction id of the asker
 *   ts   int      all         clock of the sender, ms since 1970: information only (§4.2)
 *   v    text     mainline    client version
 *   w    40       zone query  N of a node that vouches for the asker ‖ its voucher (zv), in place of `c`
 *   y    q, r, e  all
 *   z    8        all         zone id; absent on mainline
 *   zn   47·, 59· error 210   contacts nearer to the target, as many as fit into the size of the query
 *
 * Error 210 "cookie" is the one message of a zone with neither mac nor sig, nor k, p, ts: an asker whose address is
 * not proven, or whose mac we cannot check, gets it instead of an answer and asks again, signed, with `c`. It is
 * never longer than the query, and in a closed zone goes to members only and says nothing more; when a `get` was padded (x) and the value is here, it comes along in `r` (k, seq, sig, v:
 * its own signature is its proof). What is signed: the packet without the pair `sig` (or `mac`).
 *
 * A voucher spares that round trip: the first 8 bytes of the pair's mac (THREATS.md §4.13) over
 *   "itodenwa-krpc-vouch-v1" NUL || time slot 8 || N of the asker 32 || family 1 || ip 16 || port 2
 * made by a node for a contact whose pair it holds. The slot is ms since 1970 over KRPC_SLOT_MS; the one before and the
 * one after are good too. Who shows one gets an answer no longer than its query: only who vouched says where it lives.
 *
 * Arguments (a) and results (r):
 *
 *   key           type     method                    notes
 *   ad            1..512   a advert_put              one advert
 *   ads           list     r advert_get              strings: N32 addr(7, 19) advert
 *   bits          int      r drop_put, drop_get      zero bits the next blob here needs
 *   blob          960      a drop_put, r drop_get
 *   body          1..1024  a route
 *   cas           int      a put                     BEP 44
 *   f             4        a route                   flow, not 0
 *   h             8·n      r drop_get                first 8 bytes of H(32; blob) of each blob held, n <= 32
 *                 8        a drop_get                "give me this one" (with token)
 *   id            20       a, r of every method      sender
 *   implied_port  int      a announce_peer
 *   info_hash     20       a get_peers, announce_peer
 *   k             32       a put, r get              key of the item
 *   n             int      a, r advert_get           index of the first one wanted; adverts held
 *                          r drop_put                1 stored, 0 not: see bits
 *   nodes         26·n     r                         mainline IPv4 contacts: id20 ip4 port2
 *   nodes6        38·n     r                         mainline IPv6 contacts
 *   nonce         8        a drop_put, r drop_get    proof of work of the blob
 *   port          int      a announce_peer
 *   salt          0..64    a put                     BEP 44
 *   seq           int      a put, get; r get
 *   sig           64       a put, r get              of the item
 *   target        20       a find_node, get, drop_*, advert_*, observe, notify, route
 *   token         1..64    r get, get_peers, drop_get, advert_get; a of every write (but zones' put)
 *   v             any      a put, r get              one bencoded value, at most 1000 bytes of it
 *   values        list     r get_peers               strings: ip4 port2 or ip16 port2
 *   want          list     a                         BEP 32: "n4", "n6"
 *   x             1..1024  a get, find_node          zeros: room for the answer to somebody who is not proven
 *   zn            47·,59·  r                         zone contacts: N32 nonce8 family1 port2 ip4 or ip16. The id is
 *                                                    not sent: it follows from N and nonce, so it cannot be a lie
 *   zv            8·n      r                         a voucher for the contact at the same place of zn, or zeros
 *
 *   drop_put, advert_put, observe, route: token first, from get, drop_get or advert_get at the same target. So has put
 *   on mainline; in a zone it may do without, as its sender's address is proven: then the answer has `zn` and `zv`.
 *   announce_peer: token from get_peers. notify: from a node we sent observe to. Unknown keys are ignored and dropped,
 *   and so are, in messages without z, the keys that only zones have: libtorrent announces its name as `n`.
 *
 *   trust  parsed is not proven: dht/node_key.h checks sig and mac
 *   owner  every slice points into the packet
 *   caps   KRPC_IN_MAX bytes read, KRPC_OUT_MAX written, KRPC_OUT_CLOSED in a closed zone */
#ifndef ITO_DHT_KRPC_H
#define ITO_DHT_KRPC_H

#include "base/addr.h"
#include "dht/bencode.h"

#define KRPC_IN_MAX      2048 /* foreign implementations may send more than we do */
#define KRPC_OUT_MAX     1400 /* fits an Ethernet with tunnels; the largest is an answer with a value */
#define KRPC_OUT_CLOSED  1440 /* with a member certificate: still fits an Ethernet under IPv6 */
#define KRPC_MEMBER      68
#define KRPC_MEMBER_PAIR (6 + KRPC_MEMBER) /* "1:m68:" */
#define KRPC_T_MAX       16
#define KRPC_TOKEN_MAX   64
#define KRPC_V_MAX       1000 /* BEP 44: of the bencoded value */
#define KRPC_COOKIE      8
#define KRPC_ZV          8
#define KRPC_VOUCHER     (32 + KRPC_ZV)
#define KRPC_SLOT_MS     120000
#define KRPC_ZN_V4       47
#define KRPC_ZN_V6       59
#define KRPC_BLOB_BYTES  960
#define KRPC_PAD_MAX     1024
#define KRPC_ADVERT_MAX  512
#define KRPC_ROUTE_MAX   1024
#define KRPC_BLOB_HASHES 32

enum krpc_type { KRPC_QUERY, KRPC_ANSWER, KRPC_ERROR };

enum krpc_method {
    KRPC_UNKNOWN,
    KRPC_PING,
    KRPC_FIND_NODE,
    KRPC_GET,
    KRPC_PUT,
    KRPC_GET_PEERS,
    KRPC_ANNOUNCE_PEER,
    KRPC_DROP_PUT,
    KRPC_DROP_GET,
    KRPC_ADVERT_PUT,
    KRPC_ADVERT_GET,
    KRPC_OBSERVE,
    KRPC_NOTIFY,
    KRPC_ROUTE,
    KRPC_METHODS
};

/* Error codes: BEP 5, BEP 44, and ours from 210. */
enum krpc_code {
    KRPC_E_GENERIC = 201,
    KRPC_E_SERVER = 202,
    KRPC_E_PROTOCOL = 203, /* also a bad token */
    KRPC_E_METHOD = 204,
    KRPC_E_TOO_BIG = 205,
    KRPC_E_SIGNATURE = 206,
    KRPC_E_SALT = 207,
    KRPC_E_COOKIE = 210,
    KRPC_E_FULL = 211, /* a cap of ours is reached */
    KRPC_E_CAS = 301,
    KRPC_E_SEQ = 302
};

struct krpc_int {
    int64_t v;
    bool is_set;
};

/* A slice with data == NULL is absent. */
struct krpc_body {
    struct slice ad, ads, blob, body, f, h, id, info_hash, k, nodes, nodes6, nonce, pad, salt, sig, target,
        token, v, values, want, zn, zv;
    struct krpc_int bits, cas, implied_port, n, port, seq;
};

struct krpc_msg {
    enum krpc_type type;
    enum krpc_method method; /* queries */
    struct slice t, version, ip;
    struct slice z, k, member, p, sig, mac, cookie, voucher, hint; /* hint: top-level zn of an error 210 */
    struct krpc_int ts, ro;
    struct krpc_body b;
    int32_t code; /* errors */
    struct slice text;
    uint16_t cut_at, cut_len; /* where the pair `sig` or `mac` lies in the packet; cut_len 0: neither */
};

/* ERR_PARSE leaves out undefined. A zone message has z, and k, p, ts and one of sig and mac, or is an error 210. */
enum err krpc_parse(struct slice packet, struct krpc_msg *out);
/* Write m to buf; empty when it does not fit. sig and mac are written as they are (zeros, to be filled in at
 * cut_at + cut_len - their size); sets cut_at and cut_len. */
struct slice krpc_write(struct krpc_msg *m, uint8_t *buf, size_t size);
/* The packet without its sig or mac pair, to buf (at least packet.len); returns its length. */
size_t krpc_cut(struct slice packet, const struct krpc_msg *m, uint8_t *buf);

/* "drop_get"; of KRPC_UNKNOWN: "". */
const char *krpc_method_name(enum krpc_method m);
/* Content of v when it is a byte string of at most 996 bytes; false otherwise. */
bool krpc_v_string(const struct krpc_msg *m, struct slice *out);

/* Compact addresses of BEP 5: ip then port. 6 or 18 bytes. */
bool krpc_read_compact(struct slice bytes, struct addr *out);
size_t krpc_write_compact(const struct addr *a, uint8_t out[static 18]);

#endif
