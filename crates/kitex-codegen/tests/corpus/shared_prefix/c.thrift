namespace go q
include "b.thrift"
struct C { 1: b.B b }
