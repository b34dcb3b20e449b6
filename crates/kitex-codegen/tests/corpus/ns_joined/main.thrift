namespace go A.B
include "lower.thrift"
struct S { 1: lower.T t }
