namespace go rr
include "sub/main.thrift"
struct S { 1: main.T a }
