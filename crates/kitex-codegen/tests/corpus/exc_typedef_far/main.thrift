namespace go rr
include "far.thrift"
typedef far.Fault F
typedef F G
struct S { 1: G g, 2: list<F> l, 3: optional far.Err e }
service V { string C() throws (1: F f), string D() throws (1: far.Err f, 2: X x), S E(1: S s) throws (1: G g) (streaming.mode="server"), void H() throws (1: far.Fault f) }
exception X { 1: G inner }
