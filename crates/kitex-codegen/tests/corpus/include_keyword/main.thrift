namespace go rr
include "match.thrift"
struct S { 1: match.T a, 2: match.E e = match.E.A }
