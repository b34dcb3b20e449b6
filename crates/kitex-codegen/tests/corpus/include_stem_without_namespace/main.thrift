namespace go rr
include "a/types.thrift"
include "b/types.thrift"
struct S { 1: types.A a, 2: types.B b }
