namespace go x
include "a/one.thrift"
struct S { 1: one.One o }
