include "a/main.thrift"
include "b/main.thrift"
struct S { 1: main.T a, 2: main.U b }
service V { main.T M(1: main.U u, 2: S s) }
