namespace go rr
struct T {}
struct C {}
struct H {}
struct S {}
struct R {}
struct W {}
struct E {}
struct K {}
struct V {}
struct Req {}
struct Resp {}
exception Ex { 1: T t }
service Z { T A(1: S s) throws (1: Ex e), R B(1: W w) (streaming.mode="server"), K C(1: V v) (streaming.mode="bidirectional"), H D(1: C c) (streaming.mode="client") }
