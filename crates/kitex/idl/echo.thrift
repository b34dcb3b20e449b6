namespace go echo
namespace rs echo

struct Req {
  1: string msg
  2: i64 seq
  3: binary payload
}
struct Resp {
  1: string msg
  2: i64 seq
  3: binary payload
}
exception EchoError {
  1: i32 code
  2: string reason
}

/** Every way in which messages can flow. */
service Echo {
  Resp Ping(1: Req req) throws (1: EchoError e)
  Resp Unary(1: Req req) (streaming.mode="unary")
  Resp Up(1: Req req) (streaming.mode="client")
  Resp Down(1: Req req) (streaming.mode="server")
  Resp Bidi(1: Req req) (streaming.mode="bidirectional")
  oneway void Note(1: Req req)
}

/** A neighbor on the same port, some of whose methods have the same names. */
service Mirror {
  Resp Ping(1: Req req)
  Resp Down(1: Req req) (streaming.mode="server")
}
